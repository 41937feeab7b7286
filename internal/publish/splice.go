package publish

import (
	"time"

	"github.com/pion/rtp"
)

// RFC 3550 appendix A.1: sequence numbers that are further off belong to another stream.
const (
	maxDropout  = 3000
	maxMisorder = 100
)

// splice makes one stream of those that a source sends one after the other, as it does after a re-INVITE: each with
// its own SSRC, sequence numbers and timestamps, or with the old SSRC and other numbers. All packets of a stream are moved
// by the same amounts; the first stream is not moved at all. The numbers must be made to continue, since a
// receiver of SRTP takes those that run backwards for a replay, RFC 3711 section 3.3.2.
//
// It is a state machine without a clock, and not safe for concurrent use.
type splice struct {
	clock int64 // Hz of the timestamps

	started bool
	ssrc    uint32
	highest uint16 // of the stream, as it came
	seqBy   uint16 // what is added
	tsBy    uint32
	begun   time.Time
	ts      int64 // extended timestamp of the highest packet, as it was sent on, since the first
	base    uint32
	step    int64 // between the last two neighbours

	// The least arrival time minus timestamp of this stretch of time and of the one before: the fastest way through the
	// network, by which the timestamps of two streams are joined.
	transit [2]time.Duration
	turn    time.Time

	next   *rtp.Packet // the first packet of what may be another stream, until a second one confirms it
	nextAt time.Time

	strays, streams int64
}

// transitWindow is short enough for the drift of two clocks not to matter.
const transitWindow = 5 * time.Second

// put takes a packet in the order of arrival and appends to out what is to be sent on: the packet, with its numbers changed
// in place; nothing, where it is of another stream that nobody has confirmed; or that one's two first packets. A packet that does not carry
// audio begins no stream.
func (s *splice) put(out []*rtp.Packet, p *rtp.Packet, audio bool, now time.Time) []*rtp.Packet {
	switch {
	case !s.started:
		if !audio {
			s.strays++
			return out
		}
		s.started, s.streams, s.ssrc, s.highest = true, 1, p.SSRC, p.SequenceNumber
		s.begun, s.turn, s.base, s.step = now, now, p.Timestamp, s.clock/50
		return append(out, p)
	case s.belongs(p):
		if s.next != nil { // the old stream goes on, so that one was none
			s.next = nil
			s.strays++
		}
		s.pass(p, now)
		return append(out, p)
	case !audio:
		s.strays++
		return out
	case s.next == nil || s.next.SSRC != p.SSRC || s.next.SequenceNumber+1 != p.SequenceNumber:
		if s.next != nil {
			s.strays++
		}
		s.next, s.nextAt = p, now
		return out
	}
	first := s.next
	s.next = nil
	s.join(first, s.nextAt)
	s.pass(first, s.nextAt)
	s.pass(p, now)
	return append(out, first, p)
}

func (s *splice) belongs(p *rtp.Packet) bool {
	d := int16(p.SequenceNumber - s.highest)
	return p.SSRC == s.ssrc && d < maxDropout && d > -maxMisorder
}

// join makes the stream that begins with a packet follow the one before: the next sequence number, and the timestamp of its
// arrival.
func (s *splice) join(first *rtp.Packet, arrival time.Time) {
	at := int64((arrival.Sub(s.begun) - min(s.transit[0], s.transit[1])).Seconds() * float64(s.clock))
	at = max(at, s.ts+s.step)
	sent := s.highest + s.seqBy
	s.seqBy = sent + 1 - first.SequenceNumber
	s.tsBy = uint32(at) + s.base - first.Timestamp
	s.ssrc, s.highest = first.SSRC, first.SequenceNumber-1
	s.streams++
}

// pass moves a packet of the stream to its place.
func (s *splice) pass(p *rtp.Packet, arrival time.Time) {
	ahead := int16(p.SequenceNumber - s.highest)
	p.SequenceNumber += s.seqBy
	p.Timestamp += s.tsBy
	p.SSRC = 0 // the sender of the session has its own
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
