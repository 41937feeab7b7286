package capture

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Reason is the reason for which audio of a leg is missing from its segments.
type Reason string

// The reasons of Ledger.Unrecorded.
const (
	UnrecordedLegBusy     Reason = "leg_busy"     // another sender was recorded as the leg
	UnrecordedUnknownSSRC Reason = "unknown_ssrc" // stray packets of an SSRC that never became a stream
	UnrecordedCodec       Reason = "codec"        // payload type not negotiated, or rejected by its decoder
	UnrecordedMalformed   Reason = "malformed"    // not RTP, or a broken RTP packet
	UnrecordedOtherSource Reason = "other_source" // from another address than the sender's
	UnrecordedOverlap     Reason = "overlap"      // another packet of its number, or a newer stream of the leg, was recorded
	UnrecordedLate        Reason = "late"         // arrived after its place was filled
	UnrecordedBacklog     Reason = "backlog"      // recorded, and dropped because too many segments waited
	UnrecordedDisk        Reason = "disk"         // recorded, and dropped because it could not be stored
)

// The reasons of Ledger.Spans besides those of Ledger.Unrecorded.
const (
	MissingLost   Reason = "lost"   // never arrived
	MissingPaused Reason = "paused" // discarded on request
	MissingAbsent Reason = "absent" // between two streams: the leg had no sender
)

// Amount counts packets and the time of their audio. Packets are exact. Time is that of the RTP timestamps for packets that
// were decoded or lost between such packets, otherwise an estimate from arrival times.
type Amount struct {
	Packets int64
	Time    time.Duration
}

func (a *Amount) add(packets int64, d time.Duration) {
	a.Packets += packets
	a.Time += d
}

// Missing is a stretch of a leg, from Start to End, of which audio is missing. Neighbouring stretches of the same reason are
// merged when there are too many.
type Missing struct {
	Start, End time.Duration
	Reason     Reason
}

// Pausing is a pause of a leg. From and To are places in the leg, Began and Ended times of the clock. Ended is zero while
// the pause lasts.
type Pausing struct {
	Who, ResumedBy string
	From, To       time.Duration
	Began, Ended   time.Time
}

// Ledger accounts for every packet that was sent to a leg, as far as sequence numbers and sender reports show:
//
//	Sent = Recorded + Lost + Unrecorded + Paused + Duplicate
type Ledger struct {
	// Sent counts the packets that sequence numbers and sender reports show, duplicates and malformed packets included.
	Sent Amount
	// Recorded counts packets whose audio is in the segments, those replaced by a redundant copy included, and packets
	// without audio that were understood: telephone-event, comfort noise, keep-alives.
	Recorded Amount
	// Lost counts packets that never arrived.
	Lost Amount
	// Paused counts packets that were discarded on request. Its time is that of the pauses, silence included.
	Paused Amount
	// Duplicate counts further copies of packets.
	Duplicate Amount
	// Unrecorded counts packets that arrived and are not in the segments, by reason.
	Unrecorded map[Reason]Amount
	// Spans lists where in the leg audio is missing, in the order of Start. There are at most 64 of a reason.
	Spans []Missing
	// Pauses lists the pauses of the leg in their order.
	Pauses []Pausing

	fault error // of the sample counts
}

// UnrecordedTotal returns the sum of Unrecorded.
func (l Ledger) UnrecordedTotal() (sum Amount) {
	for _, a := range l.Unrecorded {
		sum.add(a.Packets, a.Time)
	}
	return sum
}

// Check returns an error if the sums of the ledger do not close.
func (l Ledger) Check() error {
	un := l.UnrecordedTotal()
	var errs []error
	if sum := l.Recorded.Packets + l.Lost.Packets + un.Packets + l.Paused.Packets + l.Duplicate.Packets; sum != l.Sent.Packets {
		errs = append(errs, fmt.Errorf(
			"ledger: %d packets sent, but %d recorded + %d lost + %d unrecorded + %d paused + %d duplicate = %d",
			l.Sent.Packets, l.Recorded.Packets, l.Lost.Packets, un.Packets, l.Paused.Packets, l.Duplicate.Packets, sum,
		))
	}
	all := map[Reason]Amount{"sent": l.Sent, "recorded": l.Recorded, "lost": l.Lost, "paused": l.Paused, "duplicate": l.Duplicate}
	for r, a := range l.Unrecorded {
		all[r] = a
	}
	for name, a := range all {
		if a.Packets < 0 || a.Time < 0 {
			errs = append(errs, fmt.Errorf("ledger: negative amount of %s: %d packets, %v", name, a.Packets, a.Time))
		}
	}
	return errors.Join(append(errs, l.fault)...)
}

// Add adds the ledger of a later recording of the same leg, whose positions start at offset.
func (l *Ledger) Add(o Ledger, offset time.Duration) {
	for to, a := range map[*Amount]Amount{
		&l.Sent: o.Sent, &l.Recorded: o.Recorded, &l.Lost: o.Lost, &l.Paused: o.Paused, &l.Duplicate: o.Duplicate,
	} {
		to.add(a.Packets, a.Time)
	}
	for r, a := range o.Unrecorded {
		if l.Unrecorded == nil {
			l.Unrecorded = map[Reason]Amount{}
		}
		sum := l.Unrecorded[r]
		sum.add(a.Packets, a.Time)
		l.Unrecorded[r] = sum
	}
	for _, m := range o.Spans {
		m.Start, m.End = m.Start+offset, m.End+offset
		l.Spans = append(l.Spans, m)
	}
	for _, p := range o.Pauses {
		p.From, p.To = p.From+offset, p.To+offset
		l.Pauses = append(l.Pauses, p)
	}
	l.fault = errors.Join(l.fault, o.fault)
}

// maxSpans bounds the spans of one reason.
const maxSpans = 64

// spans is a list of stretches of one reason. It merges those that are closer than near, which grows as the list does.
type spans struct {
	list []Missing
	near time.Duration
}

func (s *spans) add(m Missing) {
	if m.End <= m.Start {
		return
	}
	if n := len(s.list); n > 0 && m.Start <= s.list[n-1].End+s.near {
		last := &s.list[n-1]
		last.Start, last.End = min(last.Start, m.Start), max(last.End, m.End)
		return
	}
	s.list = append(s.list, m)
	for len(s.list) > maxSpans {
		s.near = max(2*s.near, 100*time.Millisecond)
		kept := s.list[:1]
		for _, m := range s.list[1:] {
			if last := &kept[len(kept)-1]; m.Start <= last.End+s.near {
				last.End = max(last.End, m.End)
			} else {
				kept = append(kept, m)
			}
		}
		s.list = kept
	}
}

func sortSpans(list []Missing) {
	slices.SortStableFunc(list, func(a, b Missing) int { return cmp.Compare(a.Start, b.Start) })
}
