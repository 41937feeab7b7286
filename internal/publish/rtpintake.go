package publish

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

const (
	comfortNoise = 13 // RFC 3551
	// largestPacket is the size of an Ethernet frame. Audio packets are far smaller.
	largestPacket = 1500
)

// Unsent counts received datagrams that were not forwarded with their audio.
type Unsent struct {
	Garbage   int64           // not RTP
	Strangers int64           // from a foreign address
	Strays    int64           // of another stream than the forwarded one
	Types     map[uint8]int64 // by payload type: telephone-event, comfort noise, other codecs
	Overdue   int64           // not sent in time, for example without a connection
	RTCP      int64           // only read for BYE
}

// String lists the counts above 0, without RTCP, which is normal. It returns "" if all are 0.
func (u Unsent) String() string {
	var parts []string
	add := func(n int64, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	for _, pt := range slices.Sorted(maps.Keys(u.Types)) {
		add(u.Types[pt], fmt.Sprintf("of payload type %d", pt))
	}
	add(u.Strangers, "from another address")
	add(u.Strays, "of another stream")
	add(u.Garbage, "not RTP")
	add(u.Overdue, "not sent in time")
	return strings.Join(parts, ", ")
}

// rtpIntake decides which datagrams are packets of the leg. It is a state machine without a clock or a socket, and not
// safe for concurrent use.
type rtpIntake struct {
	formats map[uint8]webrtc.RTPCodecCapability
	from    map[netip.Addr]bool // nil: the first sender

	source  netip.AddrPort // the first sender
	payload uint8          // payload type of the audio
	codec   webrtc.RTPCodecCapability
	splice  splice

	bye    bool      // the source sent BYE, and nothing since
	heard  time.Time // time of the last audio or comfort noise
	since  int64     // packets of other payload types since then
	other  uint8     // payload type of the last of them
	unsent Unsent
}

// take checks a datagram and appends the packets to forward to out. They do not share memory with the datagram.
//
// Packets of the stream without audio of the codec, in particular telephone-event, are forwarded without payload: a
// hole in the sequence numbers would count as a loss.
func (r *rtpIntake) take(out []*rtp.Packet, datagram []byte, from netip.AddrPort, now time.Time) []*rtp.Packet {
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	if !r.listensTo(from) {
		r.unsent.Strangers++
		return out
	}
	switch {
	case len(datagram) < 2 || len(datagram) > largestPacket || datagram[0]>>6 != 2:
		r.unsent.Garbage++
		return out
	case datagram[1] >= 192 && datagram[1] <= 223: // RFC 5761 section 4
		r.unsent.RTCP++
		r.control(datagram)
		return out
	}
	var p rtp.Packet
	if err := p.Unmarshal(datagram); err != nil {
		r.unsent.Garbage++
		return out
	}
	if !r.source.IsValid() {
		codec, ok := r.formats[p.PayloadType]
		if !ok || len(p.Payload) == 0 {
			r.skip(p.PayloadType)
			return out
		}
		r.source, r.payload, r.codec = from, p.PayloadType, codec
		r.splice.clock = int64(codec.ClockRate)
	}
	audio := p.PayloadType == r.payload
	// Header extensions and contributing sources were negotiated with another peer, so drop them.
	q := &rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         p.Marker,
		SequenceNumber: p.SequenceNumber,
		Timestamp:      p.Timestamp,
		SSRC:           p.SSRC,
	}}
	if audio {
		q.Payload = slices.Clone(p.Payload)
	}
	before := len(out)
	if out = r.splice.put(out, q, audio, now); len(out) == before {
		return out
	}
	if !audio {
		r.skip(p.PayloadType)
	}
	if audio || p.PayloadType == comfortNoise {
		r.heard, r.since, r.bye = now, 0, false
	}
	return out
}

func (r *rtpIntake) listensTo(from netip.AddrPort) bool {
	if r.from != nil {
		return r.from[from.Addr()]
	}
	return !r.source.IsValid() || r.source == from
}

func (r *rtpIntake) skip(payload uint8) {
	if r.unsent.Types == nil {
		r.unsent.Types = map[uint8]int64{}
	}
	r.unsent.Types[payload]++
	if payload != comfortNoise {
		r.since++
		r.other = payload
	}
}

// control looks for a BYE of the stream, RFC 3550 section 6.6.
func (r *rtpIntake) control(datagram []byte) {
	packets, err := rtcp.Unmarshal(datagram)
	if err != nil {
		return
	}
	for _, p := range packets {
		if b, ok := p.(*rtcp.Goodbye); ok && r.splice.started {
			r.bye = r.bye || slices.Contains(b.Sources, r.splice.ssrc)
		}
	}
}

// counts returns the counts so far.
func (r *rtpIntake) counts() Unsent {
	u := r.unsent
	u.Strays = r.splice.strays
	if r.splice.next != nil {
		u.Strays++
	}
	u.Types = maps.Clone(u.Types)
	return u
}
