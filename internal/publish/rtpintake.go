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
	// largestPacket is what fits an Ethernet frame; audio is far below.
	largestPacket = 1500
)

// Unsent counts the datagrams that came in and whose audio, if they had any, was not sent on.
type Unsent struct {
	Garbage   int64           // no RTP
	Strangers int64           // from another address than the one that is listened to
	Strays    int64           // of a stream beside the one that is sent on
	Types     map[uint8]int64 // by payload type: telephone-event, comfort noise, other codecs
	Overdue   int64           // could not be sent in time, as while there was no connection
	RTCP      int64           // read for its BYE only
}

// String lists what there was; "" is nothing. RTCP is as it should be and not listed.
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
	add(u.Garbage, "that are no RTP")
	add(u.Overdue, "that nobody took in time")
	return strings.Join(parts, ", ")
}

// rtpIntake tells which datagrams are the packets of a leg. It is a state machine without a clock or a socket, and not safe
// for concurrent use.
type rtpIntake struct {
	formats map[uint8]webrtc.RTPCodecCapability
	from    map[netip.Addr]bool // nil: whoever is first

	source  netip.AddrPort // who was first
	payload uint8          // the type of the audio
	codec   webrtc.RTPCodecCapability
	splice  splice

	bye    bool      // the source has said goodbye, and nothing since
	heard  time.Time // when audio, or comfort noise in its place, came last
	since  int64     // packets of other types since then
	other  uint8     // the last of them
	unsent Unsent
}

// take looks at a datagram that came in from an address at a time, and appends to out the packets that are to be sent on.
// They do not share memory with the datagram.
//
// Packets of the stream that carry no audio of the codec, telephone-event first of all, are sent on without their
// payload: a hole in the sequence numbers would be taken for a loss.
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
	// Extensions and contributing sources were agreed on with somebody else.
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

// counts is what was not sent so far.
func (r *rtpIntake) counts() Unsent {
	u := r.unsent
	u.Strays = r.splice.strays
	if r.splice.next != nil {
		u.Strays++
	}
	u.Types = maps.Clone(u.Types)
	return u
}
