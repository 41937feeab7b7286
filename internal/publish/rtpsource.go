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

// RTPScheme is the prefix of an RTP address, which takes the place of a file name.
const RTPScheme = "rtp://"

// RTPSource is a stream of plain RTP, RFC 3550, sent to an address of this machine.
type RTPSource struct {
	Listen string // HOST:PORT; port 0 means any free port
	// Formats are the payload types that can carry the audio. A stream may change between them.
	Formats map[uint8]webrtc.RTPCodecCapability
	// From is the only accepted host, from any port. "" accepts any address, see Bridge.
	From string
	Idle time.Duration // time without audio that ends the call
	Wait time.Duration // time to wait for the first packet
}

// ParseRTP parses an address such as rtp://127.0.0.1:5004?codec=opus&payload=111. It accepts the static payload types of
// RFC 3551 too: 0, 8 and 9.
func ParseRTP(raw string) (*RTPSource, error) {
	const form = "rtp://HOST:PORT, as rtp://127.0.0.1:5004?codec=opus&payload=111"
	u, err := url.Parse(raw)
	if err != nil || !strings.HasPrefix(raw, RTPScheme) || u.User != nil || u.Path != "" && u.Path != "/" || u.Fragment != "" {
		return nil, fmt.Errorf("%q is not an RTP address (hint: %s)", raw, form)
	}
	if _, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || u.Hostname() == "" {
		return nil, fmt.Errorf("%q has no valid HOST:PORT (hint: %s)", raw, form)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%q: %w (hint: quote the address)", raw, err)
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
		return 0, fmt.Errorf("%q is not a duration (hint: 10s, 2m)", value)
	}
	return d, nil
}

// formats returns the payload types for codec= and payload=, and the static ones.
func formats(codec, payload string) (map[uint8]webrtc.RTPCodecCapability, error) {
	all := map[uint8]webrtc.RTPCodecCapability{}
	for _, c := range Codecs {
		if pt := payloadType(capability(c).MimeType); pt < 96 {
			all[uint8(pt)] = capability(c)
		}
	}
	if codec == "" {
		if payload != "" {
			return nil, fmt.Errorf("payload=%s needs codec= (hint: codec=%s)", payload, strings.Join(Codecs, "|"))
		}
		return all, nil
	}
	if !slices.Contains(Codecs, codec) {
		return nil, fmt.Errorf("unknown codec %q (hint: %s)", codec, strings.Join(Codecs, ", "))
	}
	c := capability(codec)
	pt := uint64(payloadType(c.MimeType))
	if payload != "" {
		var err error
		// 64 to 95 collide with RTCP, RFC 5761 section 4.
		if pt, err = strconv.ParseUint(payload, 10, 7); err != nil || pt >= 64 && pt < 96 || pt == comfortNoise {
			return nil, fmt.Errorf("payload=%s is not an audio payload type (hint: 96 to 127, or the static one)", payload)
		}
	}
	all[uint8(pt)] = c
	return all, nil
}

// capability returns a codec in the form of an offer.
func capability(codec string) webrtc.RTPCodecCapability {
	switch codec {
	case "pcmu":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}
	case "pcma":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMA, ClockRate: 8000}
	case "opus":
		return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2, SDPFmtpLine: "minptime=10;useinbandfec=1"}
	}
	return webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeG722, ClockRate: 8000} // clock rate of RFC 3551, half the sample rate
}

// senders returns the addresses of the accepted host, or nil for the first sender.
func (s *RTPSource) senders(ctx context.Context) (map[netip.Addr]bool, error) {
	if s.From == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", strings.Trim(s.From, "[]"))
	if err != nil {
		return nil, fmt.Errorf("from=%s: %w (hint: set the address of the media server, without a port)", s.From, err)
	}
	all := map[netip.Addr]bool{}
	for _, a := range found {
		all[a.Unmap()] = true
	}
	return all, nil
}
