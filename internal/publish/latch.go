package publish

import (
	"net/netip"
	"slices"
	"time"

	"github.com/pion/rtp"
)

const (
	// lockAfter is the number of audio packets in sequence that make an address the source of a leg.
	lockAfter = 4
	// lockUndecodable is that number for packets of which none can be decoded. Other addresses have this time to send audio.
	lockUndecodable = 25
	// moveAfter is the silence of the source after which another address can take its place.
	moveAfter = time.Second
	// Bounds on the addresses that are watched, and on the packets that are held of each.
	maxCandidates = 8
	maxHeld       = 256
)

// arrival is a packet with its sender and its time.
type arrival struct {
	from   netip.AddrPort
	packet *rtp.Packet
	kind   kind
	at     time.Time
}

// latch decides which address is the source of a leg: one that keeps sending, not one that sends a stray packet. It is
// locked to the first address with several audio packets in sequence. It moves to another such address when the source has
// been silent. Packets are held until then, so that the start of a stream is not lost.
//
// It is a state machine without a clock or a socket, and not safe for concurrent use.
type latch struct {
	source     netip.AddrPort // invalid until it is locked
	last       time.Time      // arrival of the newest packet of the source
	candidates []*candidate
	strangers  int64 // packets that were given up
	lost       time.Duration
}

// candidate is a stream of an address that is not the source.
type candidate struct {
	from  netip.AddrPort
	ssrc  uint32
	next  uint16
	last  time.Time
	audio int // audio packets in sequence
	run   int // packets with any payload in sequence
	held  []arrival
}

// take appends the arrivals to forward to out: the packet if it is of the source, otherwise all that were held of an
// address that becomes the source.
func (l *latch) take(out []arrival, a arrival) []arrival {
	if l.source.IsValid() && a.from == l.source {
		l.last = a.at
		for _, c := range l.candidates { // the source was not silent
			l.drop(c, len(c.held))
		}
		return append(out, a)
	}
	c := l.candidate(a)
	c.add(a)
	if len(c.held) > maxHeld {
		l.drop(c, len(c.held)-maxHeld)
	}
	switch {
	case !l.source.IsValid() && (c.audio >= lockAfter || c.run >= lockUndecodable),
		l.source.IsValid() && a.at.Sub(l.last) >= moveAfter && c.audio >= lockAfter:
		return l.lock(out, c)
	}
	return out
}

// settle locks to the best address so far, if one has sent two audio packets or more.
func (l *latch) settle(out []arrival) []arrival {
	var best *candidate
	for _, c := range l.candidates {
		if c.audio >= 2 && (best == nil || c.audio > best.audio) {
			best = c
		}
	}
	if l.source.IsValid() || best == nil {
		return out
	}
	return l.lock(out, best)
}

// goodbye locks to the stream that ends, unless a source is locked.
func (l *latch) goodbye(out []arrival, from netip.AddrPort, ssrcs []uint32) []arrival {
	for _, c := range l.candidates {
		if !l.source.IsValid() && c.from == from && c.audio > 0 && slices.Contains(ssrcs, c.ssrc) {
			return l.lock(out, c)
		}
	}
	return out
}

func (l *latch) lock(out []arrival, c *candidate) []arrival {
	l.source, l.last = c.from, c.last
	out = append(out, c.held...)
	c.held = nil
	for _, other := range l.candidates {
		l.drop(other, len(other.held))
	}
	l.candidates = slices.DeleteFunc(l.candidates, func(o *candidate) bool { return o == c })
	return out
}

// drop gives up the first n packets that are held.
func (l *latch) drop(c *candidate, n int) {
	l.strangers += int64(n)
	for _, a := range c.held[:n] {
		l.lost += playing(a.packet)
	}
	c.held = c.held[:copy(c.held, c.held[n:])]
}

// candidate returns the stream of a packet. The stream that was silent longest makes room for a new one.
func (l *latch) candidate(a arrival) *candidate {
	var oldest *candidate
	for _, c := range l.candidates {
		if c.from == a.from && c.ssrc == a.packet.SSRC {
			return c
		}
		if oldest == nil || c.last.Before(oldest.last) {
			oldest = c
		}
	}
	if len(l.candidates) == maxCandidates {
		l.drop(oldest, len(oldest.held))
		l.candidates = slices.DeleteFunc(l.candidates, func(o *candidate) bool { return o == oldest })
	}
	c := &candidate{from: a.from, ssrc: a.packet.SSRC, next: a.packet.SequenceNumber}
	l.candidates = append(l.candidates, c)
	return c
}

// add counts a packet as one in sequence if its number is near that of the last one.
func (c *candidate) add(a arrival) {
	ahead := int16(a.packet.SequenceNumber - c.next)
	if ahead < -maxMisorder || ahead > maxMisorder {
		c.audio, c.run, ahead = 0, 0, 0
		c.next = a.packet.SequenceNumber
	}
	if ahead >= 0 {
		c.next += uint16(ahead) + 1
		if a.kind == audioPacket {
			c.audio++
		}
		if a.kind != otherPacket {
			c.run++
		}
	}
	c.last = a.at
	c.held = append(c.held, a)
}

// unused returns the number of packets that no source sent so far.
func (l *latch) unused() int64 {
	n := l.strangers
	for _, c := range l.candidates {
		n += int64(len(c.held))
	}
	return n
}

// unusedTime returns the time of their audio.
func (l *latch) unusedTime() time.Duration {
	d := l.lost
	for _, c := range l.candidates {
		for _, a := range c.held {
			d += playing(a.packet)
		}
	}
	return d
}

// playing estimates the time of the audio of a packet: the usual time, or that of PCM of this size.
func playing(p *rtp.Packet) time.Duration {
	return max(20*time.Millisecond, time.Duration(len(p.Payload))*time.Millisecond/8)
}
