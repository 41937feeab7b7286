package replay

import (
	"context"
	"fmt"
	"time"

	"callscreen/capture"
	"callscreen/internal/report"
)

// Intake takes a segment that was cut and is worth an analysis. It may block while the analysis is behind.
type Intake interface {
	Take(ctx context.Context, s *Segment, audio capture.Segment) error
}

// Leg leads the PCM of one leg of a call through its segmenter to the intake. One goroutine owns it.
type Leg struct {
	call      *Call
	name      string
	rate      int
	segmenter *capture.Segmenter
	intake    Intake
	damaged   time.Duration
}

// NewLeg makes a leg of a call. The detector is the leg's from here on.
func NewLeg(call *Call, name string, vad capture.VAD, cfg capture.SegmenterConfig, intake Intake) (*Leg, error) {
	s, err := capture.NewSegmenter(vad, cfg)
	if err != nil {
		return nil, fmt.Errorf("leg %s of call %s: %w", name, call.ID(), err)
	}
	l := &Leg{
		call:      call,
		name:      name,
		rate:      cfg.Rate,
		segmenter: s,
		intake:    intake,
	}
	l.progress()
	return l, nil
}

// Write takes the next samples, mono 16-bit at the configured rate.
func (l *Leg) Write(ctx context.Context, pcm []int16) error {
	l.segmenter.Write(pcm)
	return l.fetch(ctx)
}

// Gap moves the position by samples for which there is no audio.
func (l *Leg) Gap(ctx context.Context, samples int64, lost bool) error {
	l.segmenter.Gap(samples, lost)
	return l.fetch(ctx)
}

// Damaged notes how much of the audio could not be decoded, and was written as silence.
func (l *Leg) Damaged(d time.Duration) {
	l.damaged = d
	l.progress()
}

// End cuts the last segment.
func (l *Leg) End(ctx context.Context) error {
	l.segmenter.Flush()
	return l.fetch(ctx)
}

// fetch hands over what was cut. Every segment is noted in the call, also when the intake refuses it.
func (l *Leg) fetch(ctx context.Context) (err error) {
	l.progress()
	for seg, ok := l.segmenter.Next(); ok; seg, ok = l.segmenter.Next() {
		s := l.call.Add(l.name, seg)
		if seg.Skipped != "" || err != nil {
			continue
		}
		err = l.intake.Take(ctx, s, seg)
	}
	return err
}

func (l *Leg) progress() {
	position, lost := l.segmenter.Position(), l.segmenter.Lost()
	l.call.Progress(l.name, report.LegAccount{
		Duration: capture.Duration(position, l.rate),
		Lost:     capture.Duration(lost, l.rate) + l.damaged,
	})
}
