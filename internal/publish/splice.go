package publish

import (
	"cmp"
	"hash/crc32"
	"time"

	"github.com/pion/rtp"
)

// RFC 3550 appendix A.1: sequence numbers further away belong to another stream.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// defaultClock is the clock rate in Hz where none is known.
const defaultClock = 8000

// splice joins the consecutive streams of a source to one. A source starts another stream after a re-INVITE, with a new
// SSRC, sequence numbers and timestamps, or with the old SSRC and other numbers. All packets of a stream are shifted by
// the same amounts; the first stream is not shifted. The numbers must continue, because an SRTP receiver rejects
// numbers that run backwards as a replay, RFC 3711 section 3.3.2.
//
// A packet whose number was sent before is a copy if it has the same payload, and is left out. With another payload it is of
// another stream: SRTP must not encrypt two packets under one number.
//
// It is a state machine without a clock, and not safe for concurrent use.
type splice struct {
	clock int64 // clock rate in Hz

	started bool
	ssrc    uint32
	highest uint16 // highest received sequence number
	seqBy   uint16 // added to sequence numbers
	tsBy    uint32
	begun   time.Time
	ts      int64 // extended timestamp of the highest packet as sent, relative to the first
	base    uint32
	step    int64 // between the last two consecutive packets

	// The least arrival time minus timestamp in this window and the previous one: the fastest network path. It aligns the
	// timestamps of two streams.
	transit [2]time.Duration
	turn    time.Time

	next      *rtp.Packet // first packet of a possible new stream, until a second one confirms it
	nextAt    time.Time
	nextClock int64

	strays, streams, copies int64
	strayTime               time.Duration

	sent [sentWindow]forwarded // the last packets of the stream, by received number
}

// forwarded is a packet that was sent.
type forwarded struct {
	seq     uint16
	known   bool
	payload uint32 // checksum
}

// sentWindow exceeds maxMisorder.
const sentWindow = 256

// transitWindow is short enough to neglect the drift between two clocks.
const transitWindow = 5 * time.Second

// put takes packets in the order of arrival and appends the packets to forward to out, renumbered in place. A packet of
// an unconfirmed new stream is held; the second packet confirms it, and both are forwarded. A packet without audio
// starts no stream. clock is the clock rate of its codec, 0 if it is not known.
func (s *splice) put(out []*rtp.Packet, p *rtp.Packet, clock int64, audio bool, now time.Time) []*rtp.Packet {
	switch {
	case !s.started:
		if !audio {
			s.stray(p)
			return out
		}
		s.started, s.streams, s.ssrc, s.highest = true, 1, p.SSRC, p.SequenceNumber
		s.rebase(p, cmp.Or(clock, defaultClock), now)
		s.note(p)
		return append(out, p)
	case s.copied(p):
		s.copies++
		return out
	case s.belongs(p):
		if s.next != nil { // the old stream continues, so there is no new one
			s.stray(s.next)
			s.next = nil
		}
		if clock != 0 && clock != s.clock {
			s.rebase(p, clock, now)
		}
		s.pass(p, now)
		return append(out, p)
	case !audio:
		s.stray(p)
		return out
	case s.next == nil || s.next.SSRC != p.SSRC || s.next.SequenceNumber+1 != p.SequenceNumber:
		if s.next != nil {
			s.stray(s.next)
		}
		s.next, s.nextAt, s.nextClock = p, now, clock
		return out
	}
	first := s.next
	s.next = nil
	s.join(first, s.nextClock, s.nextAt)
	s.pass(first, s.nextAt)
	s.pass(p, now)
	return append(out, first, p)
}

func (s *splice) belongs(p *rtp.Packet) bool {
	d := int16(p.SequenceNumber - s.highest)
	return p.SSRC == s.ssrc && d < maxDropout && d > -maxMisorder && !s.repeats(p)
}

// repeats reports whether the number of a packet of the stream was sent before.
func (s *splice) repeats(p *rtp.Packet) bool {
	known := s.sent[p.SequenceNumber%sentWindow]
	return p.SSRC == s.ssrc && known.known && known.seq == p.SequenceNumber
}

// copied reports whether the packet itself was sent before.
func (s *splice) copied(p *rtp.Packet) bool {
	return s.repeats(p) && s.sent[p.SequenceNumber%sentWindow].payload == checksum(p)
}

// note remembers a packet that is forwarded. Its number must be the received one.
func (s *splice) note(p *rtp.Packet) {
	s.sent[p.SequenceNumber%sentWindow] = forwarded{p.SequenceNumber, true, checksum(p)}
}

func checksum(p *rtp.Packet) uint32 { return crc32.ChecksumIEEE(p.Payload) ^ uint32(p.PayloadType) }

// stray counts a packet that is not forwarded.
func (s *splice) stray(p *rtp.Packet) {
	s.strays++
	s.strayTime += playing(p)
}

// rebase makes a packet the origin of timestamps at another clock rate, which are unrelated to those before.
func (s *splice) rebase(first *rtp.Packet, clock int64, arrival time.Time) {
	s.clock, s.base, s.begun, s.turn = clock, first.Timestamp+s.tsBy, arrival, arrival
	s.ts, s.step, s.transit = 0, clock/50, [2]time.Duration{}
}

// join appends a new stream to the previous one: the next sequence number, and the timestamp of its arrival.
func (s *splice) join(first *rtp.Packet, clock int64, arrival time.Time) {
	at := int64((arrival.Sub(s.begun) - min(s.transit[0], s.transit[1])).Seconds() * float64(s.clock))
	at = max(at, s.ts+s.step)
	sent := s.highest + s.seqBy
	s.seqBy = sent + 1 - first.SequenceNumber
	s.tsBy = uint32(at) + s.base - first.Timestamp
	s.ssrc, s.highest = first.SSRC, first.SequenceNumber-1
	s.sent = [sentWindow]forwarded{}
	s.streams++
	if clock != 0 && clock != s.clock {
		s.rebase(first, clock, arrival)
	}
}

// pass renumbers a packet of the stream.
func (s *splice) pass(p *rtp.Packet, arrival time.Time) {
	ahead := int16(p.SequenceNumber - s.highest)
	s.note(p)
	p.SequenceNumber += s.seqBy
	p.Timestamp += s.tsBy
	p.SSRC = 0 // the session has its own SSRC
	at := s.ts + int64(int32(p.Timestamp-s.base-uint32(s.ts)))
	if ahead > 0 {
		s.highest += uint16(ahead)
		if step := at - s.ts; ahead == 1 && step > 0 && step <= s.clock/8 {
			s.step = step
		}
		s.ts = at
	}
	transit := arrival.Sub(s.begun) - time.Duration(float64(at)/float64(s.clock)*float64(time.Second))
	if arrival.Sub(s.turn) >= transitWindow {
		s.transit[1], s.transit[0], s.turn = s.transit[0], transit, arrival
	} else {
		s.transit[0] = min(s.transit[0], transit)
	}
}
