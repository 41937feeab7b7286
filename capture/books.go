package capture

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// books keeps the ledger of a leg. Each packet is entered once, when its fate is known; the number of sent packets comes
// from sequence numbers and sender reports, so that the two can be compared.
type books struct {
	recorded, lost, paused, duplicate Amount
	unrecorded                        map[Reason]Amount

	sources  []*source
	sequence int64 // packets with decided sequence numbers of streams that are closed
	outside  int64 // packets without a place in a sequence
	reported int64 // packets that only sender reports of closed sources showed

	missing map[Reason]*spans
	pauses  []Pausing

	decoded, written, muted int64 // samples
}

func newBooks() *books {
	return &books{unrecorded: map[Reason]Amount{}, missing: map[Reason]*spans{}}
}

// unrecord enters packets that arrived and are not recorded.
func (b *books) unrecord(r Reason, packets int64, d time.Duration) {
	a := b.unrecorded[r]
	a.add(packets, d)
	b.unrecorded[r] = a
}

// discard moves audio that was recorded to unrecorded. Its packets follow from the mean time of a packet.
func (b *books) discard(r Reason, d time.Duration) {
	d = min(d, b.recorded.Time)
	packets := int64(0)
	if b.recorded.Time > 0 {
		packets = int64(float64(b.recorded.Packets) * (float64(d) / float64(b.recorded.Time)))
	}
	b.recorded.add(-packets, -d)
	b.unrecord(r, packets, d)
}

// span enters a stretch of the leg whose audio is missing.
func (b *books) span(r Reason, start, end time.Duration) {
	s := b.missing[r]
	if s == nil {
		s = &spans{list: make([]Missing, 0, maxSpans+1)}
		b.missing[r] = s
	}
	s.add(Missing{Start: start, End: end, Reason: r})
}

// ledger returns the state of the books. decided is the number of sequence numbers of open streams whose fate is known,
// position the length of the leg, and packet the time of a packet.
func (b *books) ledger(decided int64, position, packet time.Duration) Ledger {
	l := Ledger{
		Recorded:   b.recorded,
		Lost:       b.lost,
		Paused:     b.paused,
		Duplicate:  b.duplicate,
		Unrecorded: maps.Clone(b.unrecorded),
		Pauses:     slices.Clone(b.pauses),
	}
	reported := b.reported
	for _, s := range b.sources {
		reported += s.reported()
	}
	l.Lost.add(reported, time.Duration(reported)*packet)
	un := l.UnrecordedTotal()
	l.Sent = Amount{
		Packets: b.sequence + decided + b.outside + b.duplicate.Packets + reported,
		Time:    l.Recorded.Time + l.Lost.Time + un.Time + l.Paused.Time + l.Duplicate.Time,
	}
	for _, s := range b.missing {
		l.Spans = append(l.Spans, s.list...)
	}
	if reported > 0 {
		l.Spans = append(l.Spans, Missing{position, position + time.Duration(reported)*packet, MissingLost})
	}
	sortSpans(l.Spans)
	if n := len(l.Pauses); n > 0 && l.Pauses[n-1].Ended.IsZero() {
		l.Pauses[n-1].To = max(position, l.Pauses[n-1].From)
	}
	if b.decoded != b.written+b.muted {
		l.fault = fmt.Errorf("ledger: %d samples decoded, but %d written and %d discarded in pauses", b.decoded, b.written, b.muted)
	}
	return l
}

// defaultPacket is the time of a packet whose length is not known.
const defaultPacket = 20 * time.Millisecond
