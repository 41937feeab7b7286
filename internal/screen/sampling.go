package screen

import (
	"context"
	"time"

	"callscreen/internal/store"
)

// ReasonSampled is the reason of a segment that is skipped because enough of its leg was analysed.
const ReasonSampled = "sampled"

// Plan limits how much of a leg is analysed. The zero value analyses all of it.
type Plan struct {
	// Enough is the speech of a leg that is analysed without a break. 0 is all of it.
	Enough time.Duration
	// Recheck is the distance of the segments that are analysed after that.
	Recheck time.Duration
}

// Spares reports whether a segment can be skipped, given all segments of its call. A leg is not spared while its last
// score is not below clearBelow: a suspicious leg is analysed without a break.
func (p Plan) Spares(g store.SegmentRow, all []store.SegmentRow, clearBelow float64) bool {
	if p.Enough <= 0 {
		return false
	}
	var speech time.Duration
	var last *store.SegmentRow // with a score
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
	suspicious := last != nil && !(*last.Score < clearBelow) // also if it is NaN
	return speech >= p.Enough && near && !suspicious
}

// said returns when the audio of a segment began.
func said(g store.SegmentRow) time.Time { return time.UnixMilli(g.Part).Add(g.Offset) }

// spared reports whether a segment can be skipped. One whose upload may have been paid for is not.
func (w *Worker) spared(ctx context.Context, g store.SegmentRow) (bool, error) {
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
