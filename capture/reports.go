package capture

import (
	"time"

	"github.com/pion/rtcp"
)

// source compares the packets of an SSRC that sequence numbers show with those that its sender reports count. A sender
// report shows packets that were sent before the first packet that arrived, or after the last one.
//
// A media server may pass on the reports of the original sender, which counts packets that were never meant for this leg.
// So a count is believed only as far as time allows, and only where it grows while no packets arrive.
type source struct {
	ssrc   uint32
	opened time.Time // since when packets may have been sent to the leg
	first  time.Time // arrival of the first packet
	clock  int64     // Hz of the timestamps, 0 if no packet arrived
	lastTS uint32    // of the newest packet
	lastAt time.Time // arrival of the newest packet

	shown  int64 // packets that sequence numbers show
	seen   bool  // a report arrived
	offset int64 // the reported count minus shown, when both were last in step
	then   int64 // shown at the last report
	head   int64 // packets before the first one that arrived
	tail   int64 // packets after the last one that arrived
	gone   int64 // tails of earlier sequences of the SSRC
	// drift is the change of the offset since the first report, and least its minimum. A first report that overtakes packets
	// counts them as part of the head, and the next report shows that they arrived.
	drift, least int64
}

const (
	// In-flight packets make a report count a few more than have arrived.
	inFlight = 5
	// fastest is the shortest mean interval of packets that is believed without having seen one.
	fastest = 13 * time.Millisecond
	// overtaken bounds the packets that a report may have overtaken. A larger step is a sender that restarts its count.
	overtaken = 250
)

// reported returns the packets that only reports show.
func (s *source) reported() int64 { return s.head + s.tail + s.gone }

// show enters n further sequence numbers.
func (s *source) show(n int64) {
	s.shown += n
	s.tail = max(0, s.tail-n)
}

// restart enters that a sequence of packets starts: packets of the tail cannot be part of it.
func (s *source) restart() {
	if s.shown > 0 || s.tail > inFlight {
		s.gone += s.tail
		s.offset += s.tail
	}
	s.tail = 0
}

// report enters a sender report.
func (s *source) report(sr *rtcp.SenderReport, arrival time.Time) {
	excess := int64(int32(sr.PacketCount - uint32(s.offset+s.shown)))
	switch {
	case !s.seen && s.shown == 0: // all packets so far are lost, unless the count started long before
		s.tail = s.allowed(excess, arrival)
		s.offset += excess - s.tail
	case !s.seen:
		s.head = s.allowed(excess-inFlight, s.first)
		s.offset += excess
	case excess > 0 && (s.shown == s.then || s.ahead(sr, arrival)):
		s.tail = excess
	default:
		s.offset += excess
		s.tail = 0
		s.settle(excess)
	}
	s.seen, s.then = true, s.shown
}

// settle takes packets off the head that had not arrived when they were counted.
func (s *source) settle(excess int64) {
	if excess < -overtaken {
		return
	}
	s.drift += excess
	if late := s.least - s.drift; late > 0 {
		s.head, s.least = max(0, s.head-late), s.drift
	}
}

// allowed returns n if so many packets can have been sent to the leg until a time, otherwise 0.
func (s *source) allowed(n int64, until time.Time) int64 {
	if n < 0 || n > int64(until.Sub(s.opened)/fastest) {
		return 0
	}
	return n
}

// ahead reports whether a sender report was sent a second or more after the newest packet. Its timestamp alone does not show that:
// webrtcbin of GStreamer 1.22 adds the time since the start of the pipeline to it.
func (s *source) ahead(sr *rtcp.SenderReport, arrival time.Time) bool {
	return s.clock > 0 && int64(int32(sr.RTPTime-s.lastTS)) >= s.clock && arrival.Sub(s.lastAt) >= time.Second
}

// maxSources bounds the sources of a leg.
const maxSources = 16

// source returns the source of an SSRC, new if need be.
func (b *books) source(ssrc uint32, opened time.Time) *source {
	for _, s := range b.sources {
		if s.ssrc == ssrc {
			return s
		}
	}
	if len(b.sources) == maxSources {
		b.reported += b.sources[0].reported()
		b.sources = b.sources[:copy(b.sources, b.sources[1:])]
	}
	s := &source{ssrc: ssrc, opened: opened}
	b.sources = append(b.sources, s)
	return s
}

// ntpTime converts a timestamp of RFC 5905: seconds since 1900 and their fraction.
func ntpTime(t uint64) time.Time {
	const from1900To1970 = 2208988800
	return time.Unix(int64(t>>32)-from1900To1970, int64((t&0xffffffff)*1e9>>32)).UTC()
}
