package screen

import (
	"context"
	"time"

	"callscreen/internal/store"
)

// ReasonSampled is why a segment is skipped of a leg of which enough is known.
const ReasonSampled = "sampled"

// Plan says how much of a leg is analysed. The zero value is all of it.
type Plan struct {
	// Enough is the speech of a leg that is analysed without a break; 0 is all of it.
	Enough time.Duration
	// Recheck is how far apart the segments are that are analysed after that.
	Recheck time.Duration
}

// Spares tells whether a segment need not be analysed, by what has become of all segments of its call. A leg is not spared
// while its last score is not below clearBelow: whoever is suspicious is heard without a break.
func (p Plan) Spares(g store.Segment, all []store.Segment, clearBelow float64) bool {
	if p.Enough <= 0 {
		return false
	}
	var speech time.Duration
	var last *store.Segment // with a score
	near := false
	for i := range all {
		o := &all[i]
		begun := o.State == store.SegmentScored || o.State == store.SegmentSubmitted ||
			o.State == store.SegmentRecorded && !o.SubmitStarted.IsZero()
		if o.Leg != g.Leg || o.ID == g.ID || !begun {
			continue
		}
		speech += o.Speech
		near = near || said(*o).Sub(said(g)).Abs() < p.Recheck
		if o.Score != nil && (last == nil || said(*o).After(said(*last))) {
			last = o
		}
	}
	suspicious := last != nil && !(*last.Score < clearBelow) // also if it is no number
	return speech >= p.Enough && near && !suspicious
}

// said is when the audio of a segment began.
func said(g store.Segment) time.Time { return time.UnixMilli(g.Part).Add(g.Offset) }

// spared tells whether a segment need not be paid for. One of which it is not known whether it was paid for is not.
func (w *Worker) spared(ctx context.Context, g store.Segment) (bool, error) {
	if w.cfg.Plan.Enough <= 0 || g.Cleaned || !g.SubmitStarted.IsZero() {
		return false, nil
	}
	c, err := w.cfg.Store.Call(ctx, g.Call)
	if err != nil {
		return false, err
	}
	all, err := w.cfg.Store.Segments(ctx, g.Call)
	if err != nil {
		return false, err
	}
	return w.cfg.Plan.Spares(g, all, w.cfg.Decider.Policy().For(g.Leg, c.Metadata).ClearBelow), nil
}
