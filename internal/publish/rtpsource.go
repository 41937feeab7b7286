package publish

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// RTPScheme is how the address of plain RTP begins, where others name a file.
const RTPScheme = "rtp://"

// RTPSource is plain RTP, RFC 3550, that somebody sends to an address of this machine.
type RTPSource struct {
	Listen string // HOST:PORT; port 0 is a free one
	// Formats are the payload types that may carry the audio. What comes first decides.
	Formats map[uint8]webrtc.RTPCodecCapability
	// From is the only host that is listened to, from whichever of its ports. "" listens to the address that sends the first
	// packet of audio, and to no other.
	From string
	Idle time.Duration // without audio, after which the call is over
	Wait time.Duration // until the first packet
}

// ParseRTP reads an address such as rtp://127.0.0.1:5004?codec=opus&payload=111. Without codec= the static payload types of
// RFC 3551 are understood: 0, 8 and 9.
func ParseRTP(raw string) (*RTPSource, error) {
	const form = "rtp://HOST:PORT, as rtp://127.0.0.1:5004?codec=opus&payload=111"
	u, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(raw, RTPScheme) || u.User != nil || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is no address of RTP (hint: %s)", raw, form)
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%q does not say where to listen (hint: %s)", raw, form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%q: %w (hint: put it between quotes)", raw, err)
	}
	s := &RTPSource{Listen: u.Host, Idle: 10 * time.Second, Wait: time.Minute}
	codec, payload := "", ""
	for _, key := range slices.Sorted(maps.Keys(query)) {
		value := query.Get(key)
		if len(query[key]) > 1 || value == "" {
			return nil, fmt.Errorf("%s= must have one value", key)
		}
		var err error
		switch key {
		case "codec":
			codec = value
		case "payload":
			payload = value
		case "from":
			s.From = value
		case "idle":
			s.Idle, err = positive(value)
		case "wait":
			s.Wait, err = positive(value)
		default:
			return nil, fmt.Errorf("rtp:// takes no %s= (hint: codec, payload, from, idle, wait)", key)
		}
		if err != nil {
			return nil, fmt.Errorf("%s=: %w", key, err)
		}
	}
	s.Formats, err = formats(codec, payload)
	return s, err
}

func positive(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is no duration (hint: 10s, 2m)", value)
	}
	return d, nil
}

// formats are the payload types that codec= and payload= stand for.
func formats(codec, payload string) (map[uint8]webrtc.RTPCodecCapability, error) {
	if codec == "" {
		if payload != "" {
			return nil, fmt.Errorf("payload=%s: of which codec? (hint: codec=%s)", payload, strings.Join(Codecs, "|"))
		}
		all := map[uint8]webrtc.RTPCodecCapability{}
		for _, c := range Codecs {
			if pt := payloadType(capability(c).MimeType); pt < 96 {
				all[uint8(pt)] = capability(c)
			}
		}
		return all, nil
	}
	if !slices.Contains(Codecs, codec) {
		return nil, fmt.Errorf("there is no codec %q (hint: %s)", codec, strings.Join(Codecs, ", "))
	}
	c := capability(codec)
	pt := uint64(payloadType(c.MimeType))
	if payload != "" {
		var err error
		// 64 to 95 would look like RTCP, RFC 5761 section 4.
		if pt, err = strconv.ParseUint(payload, 10, 7); err != nil || pt >= 64 && pt < 96 || pt == comfortNoise {
			return nil, fmt.Errorf("payload=%s is no payload type of audio (hint: 96 to 127, or the static one)", payload)
		}
	}
	return map[uint8]webrtc.RTPCodecCapability{uint8(pt): c}, nil
}

// capability is a codec as it is offered.
func capability(codec string) webrtc.RTPCodecCapability {
	switch codec {
	case "pcmu":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}
	case "pcma":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}
	case "opus":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
	}
	return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeG722, ClockRate: 8000} // the clock of RFC 3551, half the rate of the audio
}

// senders are the addresses of the host that is listened to; nil means whoever is first.
func (s *RTPSource) senders(ctx context.Context) (map[netip.Addr]bool, error) {
	if s.From == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.Trim(s.From, "[]"))
	if err != nil {
		return nil, fmt.Errorf("from=%s: %w (hint: the address of the media server, without a port)", s.From, err)
	}
	all := map[netip.Addr]bool{}
	for _, a := range found {
		all[a.Unmap()] = true
	}
	return all, nil
}
