package publish

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

const (
	comfortNoise    = 13 // RFC 3551
	comfortNoiseOld = 19
	// largestPacket is the size of a jumbo frame. A PCM packet of 200 ms is longer than an Ethernet frame.
	largestPacket = 9000
	// largestOther bounds the payload of comfort noise.
	largestOther = 32
	// notNegotiated is the payload type of packets that cannot be decoded. The server counts them as such, because no
	// offer contains it.
	notNegotiated = 96
)

// kind is the class of a packet.
type kind uint8

const (
	otherPacket       kind = iota // telephone-event, comfort noise or no payload
	undecodablePacket             // of a codec that was not named
	audioPacket
)

// rtpIntake decides which datagrams are packets of the leg. It is a state machine without a clock or a socket, and not
// safe for concurrent use.
type rtpIntake struct {
	formats map[uint8]webrtc.RTPCodecCapability
	from    map[netip.Addr]bool // nil: any host

	latch   latch
	splice  splice
	cipher  cipherDetector
	signals capture.Signals
	codec   webrtc.RTPCodecCapability // of the last audio; without MIME type before the first
	ssrc    uint32                    // of the last audio

	bye    bool      // the source sent BYE, and nothing since
	heard  time.Time // time of the last audio or comfort noise
	unsent Unsent
	seen   []arrival
}

// started reports whether there is a source.
func (r *rtpIntake) started() bool { return r.latch.source.IsValid() }

// take checks a datagram and appends the packets to forward to out, with the payload types of the session. They do not
// share memory with the datagram.
//
// Packets of the stream without audio, in particular telephone-event, are forwarded without payload: a hole in the sequence
// numbers would count as a loss. Packets that cannot be decoded are forwarded as such, so that the server counts them.
func (r *rtpIntake) take(out []*rtp.Packet, datagram []byte, from netip.AddrPort, now time.Time) []*rtp.Packet {
	from = netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
	if r.from != nil {
		if !r.from[from.Addr()] {
			r.unsent.Excluded++
			return out
		}
		from = netip.AddrPortFrom(netip.IPv4Unspecified(), 1) // all ports of the host are one source
	}
	switch {
	case isSTUN(datagram):
		r.unsent.STUN++
		return out
	case len(datagram) > 0 && datagram[0] >= 20 && datagram[0] <= 63: // RFC 7983
		r.unsent.DTLS++
		return out
	case len(datagram) < 2 || len(datagram) > largestPacket || datagram[0]>>6 != 2:
		r.unsent.Garbage++
		return out
	case datagram[1] >= 192 && datagram[1] <= 223: // RFC 5761 section 4
		// The range is that of payload types from 64 with a marker too.
		if packets, err := rtcp.Unmarshal(datagram); err == nil {
			r.unsent.RTCP++
			return r.control(out, packets, from)
		}
	}
	p, ok := parse(datagram)
	if !ok {
		r.unsent.Garbage++
		return out
	}
	r.seen = r.latch.take(r.seen[:0], arrival{from, p, r.kind(p, now), now})
	return r.forward(out)
}

// parse parses an RTP packet. One with a valid header and a broken rest has the rest as its payload, and an unknown payload
// type: it has a place in the sequence and cannot be decoded.
func parse(datagram []byte) (*rtp.Packet, bool) {
	const fixed = 12
	p := &rtp.Packet{}
	if err := p.Unmarshal(datagram); err == nil {
		p.Payload = slices.Clone(p.Payload)
		return p, true
	}
	if len(datagram) <= fixed {
		return nil, false
	}
	return &rtp.Packet{Header: rtp.Header{
		Version:        2,
		PayloadType:    notNegotiated,
		SequenceNumber: binary.BigEndian.Uint16(datagram[2:]),
		Timestamp:      binary.BigEndian.Uint32(datagram[4:]),
		SSRC:           binary.BigEndian.Uint32(datagram[8:]),
	}, Payload: append(make([]byte, brokenPayload), datagram[fixed:]...)}, true
}

// brokenPayload makes the payload of a broken packet longer than one without audio.
const brokenPayload = 8

// isSTUN looks for the magic cookie of RFC 8489.
func isSTUN(b []byte) bool { return len(b) >= 20 && b[0] <= 3 && string(b[4:8]) == "\x21\x12\xa4\x42" }

// settle ends the choice of a source, as when none was found in time.
func (r *rtpIntake) settle(out []*rtp.Packet) []*rtp.Packet {
	r.seen = r.latch.settle(r.seen[:0])
	return r.forward(out)
}

func (r *rtpIntake) kind(p *rtp.Packet, now time.Time) kind {
	_, known := r.formats[p.PayloadType]
	switch {
	case len(p.Payload) == 0:
		return otherPacket
	case known:
		return audioPacket
	case (p.PayloadType == comfortNoise || p.PayloadType == comfortNoiseOld) && len(p.Payload) <= largestOther:
	case len(p.Payload) <= 4: // telephone-event, RFC 4733 section 2.3, or comfort noise
	default:
		return undecodablePacket
	}
	if r.signals.Take(len(p.Payload), now) {
		return otherPacket
	}
	return undecodablePacket
}

// forward appends the packets that the latch has let through.
func (r *rtpIntake) forward(out []*rtp.Packet) []*rtp.Packet {
	for _, a := range r.seen {
		out = r.put(out, a)
	}
	return out
}

func (r *rtpIntake) put(out []*rtp.Packet, a arrival) []*rtp.Packet {
	p := a.packet
	codec := r.formats[p.PayloadType]
	// Header extensions and contributing sources were negotiated with another peer, so drop them.
	q := &rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         p.Marker,
		PayloadType:    notNegotiated,
		SequenceNumber: p.SequenceNumber,
		Timestamp:      p.Timestamp,
		SSRC:           p.SSRC,
	}}
	encrypted := false
	switch a.kind {
	case audioPacket:
		if p.SSRC != r.ssrc || codec.MimeType != r.codec.MimeType {
			r.cipher, r.ssrc = cipherDetector{}, p.SSRC
		}
		q.Payload = p.Payload
		if encrypted = r.cipher.add(codec.MimeType, p.Payload); !encrypted {
			q.PayloadType = uint8(payloadType(codec.MimeType))
		}
	case undecodablePacket:
		q.Payload = p.Payload
	case otherPacket: // keeps its number and loses its payload
		q.PayloadType = uint8(payloadType(r.codec.MimeType))
	}
	clock := int64(codec.ClockRate)
	if a.kind != audioPacket {
		clock = 0
	}
	before := len(out)
	out = r.splice.put(out, q, clock, a.kind != otherPacket && (a.kind == audioPacket || !r.splice.started), a.at)
	if len(out) == before {
		return out
	}
	switch {
	case encrypted:
		r.unsent.Encrypted++
	case a.kind == undecodablePacket:
		count(&r.unsent.Undecodable, p.PayloadType)
	case a.kind == otherPacket:
		count(&r.unsent.Types, p.PayloadType)
	}
	if a.kind == audioPacket {
		r.codec = codec
	}
	if a.kind != otherPacket || p.PayloadType == comfortNoise || p.PayloadType == comfortNoiseOld {
		r.heard, r.bye = a.at, false
	}
	return out
}

func count(by *map[uint8]int64, payloadType uint8) {
	if *by == nil {
		*by = map[uint8]int64{}
	}
	(*by)[payloadType]++
}

// control looks for a BYE of the stream, RFC 3550 section 6.6.
func (r *rtpIntake) control(out []*rtp.Packet, packets []rtcp.Packet, from netip.AddrPort) []*rtp.Packet {
	for _, p := range packets {
		b, ok := p.(*rtcp.Goodbye)
		if !ok {
			continue
		}
		r.seen = r.latch.goodbye(r.seen[:0], from, b.Sources)
		out = r.forward(out)
		if from == r.latch.source && r.splice.started {
			r.bye = r.bye || slices.Contains(b.Sources, r.splice.ssrc)
		}
	}
	return out
}

// counts returns the counts so far.
func (r *rtpIntake) counts() Unsent {
	u := r.unsent
	u.Strangers = r.latch.unused()
	u.Strays, u.Copies = r.splice.strays, r.splice.copies
	u.unknownTime = r.latch.unusedTime() + r.splice.strayTime
	if next := r.splice.next; next != nil {
		u.Strays++
		u.unknownTime += playing(next)
	}
	u.Types, u.Undecodable = maps.Clone(u.Types), maps.Clone(u.Undecodable)
	return u
}
