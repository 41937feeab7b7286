package replay

import (
	"context"
	"fmt"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/report"
)

// Intake takes the segments that are worth an analysis. It may block while the analysis is behind.
type Intake interface {
	Take(ctx context.Context, s *PendingSegment, audio capture.Segment) error
}

// LegFeed passes the PCM of one leg of a call through its segmenter to the intake. One goroutine owns it.
type LegFeed struct {
	call      *Call
	name      string
	rate      int
	segmenter *capture.Segmenter
	intake    Intake
	account   *encode.Account // nil until the file was read
}

// NewLeg returns a leg of a call. It owns the detector.
func NewLeg(call *Call, name string, vad capture.VAD, cfg capture.SegmenterConfig, intake Intake) (*LegFeed, error) {
	s, err := capture.NewSegmenter(vad, cfg)
	if err != nil {
		return nil, fmt.Errorf("leg %s of call %s: %w", name, call.ID(), err)
	}
	l := &LegFeed{
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
func (l *LegFeed) Write(ctx context.Context, pcm []int16) error {
	l.segmenter.Write(pcm)
	return l.fetch(ctx)
}

// Gap moves the position by samples without audio.
func (l *LegFeed) Gap(ctx context.Context, samples int64, lost bool) error {
	l.segmenter.Gap(samples, lost)
	return l.fetch(ctx)
}

// Account sets the account of the file, once it was read.
func (l *LegFeed) Account(a encode.Account) {
	l.account = &a
	l.progress()
}

// End cuts the last segment.
func (l *LegFeed) End(ctx context.Context) error {
	l.segmenter.Flush()
	return l.fetch(ctx)
}

// fetch passes on the segments that were cut. The call gets every segment, also when the intake refuses it.
func (l *LegFeed) fetch(ctx context.Context) (err error) {
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

// progress updates the account of the leg. Damaged audio was written as silence and counts as lost.
func (l *LegFeed) progress() {
	a := report.LegAccount{
		Duration: capture.Duration(l.segmenter.Position(), l.rate),
		Lost:     capture.Duration(l.segmenter.Lost(), l.rate),
	}
	if l.account != nil {
		a.Lost += l.account.DamagedTime
		a.Ledger = report.OfFile(*l.account, a.Duration, capture.Duration(l.segmenter.Heard(capture.Noise), l.rate))
	}
	l.call.Progress(l.name, a)
}
