package capture

import (
	"fmt"
	"sync"
	"time"
)

// recording is a leg that outlives its tracks.
type recording struct {
	mu      sync.Mutex
	books   *books
	opened  time.Time // since when packets may arrive
	leg     *Leg      // nil until the first track
	sink    *segmenterSink
	pausing bool

	tracks int    // being read
	epoch  uint64 // of the tracks that are recorded; those of earlier ones were taken over
	wake   map[*session]func()
}

// segmenterSink is the sink of a leg.
type segmenterSink struct {
	*Segmenter
	newVAD func(rate int) (VAD, error)
}

// Raise implements RateSink.
func (s *segmenterSink) Raise(rate int) error {
	vad, err := s.newVAD(rate)
	if err != nil {
		return err
	}
	return s.SetRate(rate, vad)
}

// maxPauses bounds the pauses of a leg that are listed. Further ones extend the last of them.
const maxPauses = 256

// legError is an error of a leg.
type legError struct {
	leg string
	err error
}

func (e *legError) Error() string { return fmt.Sprintf("leg %s: %v", e.leg, e.err) }
func (e *legError) Unwrap() error { return e.err }

func (rec *recording) start(cfg RecorderConfig, rate int, types map[uint8]PayloadType) error {
	vad, err := cfg.NewVAD(rate)
	if err != nil {
		return err
	}
	segment := cfg.Segment
	segment.Rate = rate
	segmenter, err := NewSegmenter(vad, segment)
	if err != nil {
		return err
	}
	sink := &segmenterSink{segmenter, cfg.NewVAD}
	leg, err := newLeg(LegConfig{Rate: rate, PayloadTypes: types, Wait: cfg.Wait}, sink, rec.books)
	if err != nil {
		return err
	}
	leg.opened, leg.discard = rec.opened, rec.pausing
	rec.leg, rec.sink = leg, sink
	return nil
}

// take returns the segments that were cut.
func (rec *recording) take() (cut []Segment) {
	if rec.leg == nil {
		return nil
	}
	for seg, ok := rec.sink.Next(); ok; seg, ok = rec.sink.Next() {
		cut = append(cut, seg)
	}
	return cut
}

func (rec *recording) end() {
	if rec.leg != nil {
		rec.leg.Flush()
		rec.sink.Flush()
	}
}

// change pauses or resumes the leg.
func (rec *recording) change(who string, pause bool, now time.Time) {
	rec.pausing = pause
	position := time.Duration(0)
	if rec.leg != nil {
		rec.leg.Discard(pause)
		position = rec.leg.positionAt(now)
	}
	b := rec.books
	switch {
	case pause && len(b.pauses) < maxPauses:
		b.pauses = append(b.pauses, Pausing{Who: who, From: position, To: position, Began: now})
		return
	case pause: // part of the last one
		b.pauses[len(b.pauses)-1].Ended = time.Time{}
		return
	}
	p := &b.pauses[len(b.pauses)-1]
	p.ResumedBy, p.To, p.Ended = who, position, now
}

func (rec *recording) ledger() Ledger {
	if rec.leg != nil {
		return rec.leg.Ledger()
	}
	return rec.books.ledger(0, 0, defaultPacket)
}

func (rec *recording) stats() LegStats {
	s := LegStats{Paused: rec.books.paused.Time, Recording: rec.tracks > 0}
	if rec.leg == nil {
		return s
	}
	s.Packets, s.Rate = rec.leg.Stats(), rec.leg.Rate()
	s.Start, _ = rec.leg.Start()
	s.Duration = Duration(rec.sink.Position(), s.Rate)
	s.Lost = Duration(rec.sink.Lost(), s.Rate)
	for sound := range s.Heard {
		s.Heard[sound] = Duration(rec.sink.Heard(Sound(sound)), s.Rate)
	}
	return s
}
