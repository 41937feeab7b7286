package screen

import (
	"context"
	"fmt"
	"time"

	"github.com/riverqueue/river"

	"callscreen/analyzer"
	"callscreen/internal/store"
)

const (
	gateWait  = 5 * time.Second // for the gate, in one run of a job
	probeTime = 5 * time.Second
	// freshFirst is the longest time that a segment with an upload of unknown outcome gives way to segments without one.
	freshFirst = time.Hour
	holdLook   = time.Hour // between two looks at a held segment
)

// enter waits until the gate lets the submission of a segment through.
func (w *Worker) enter(ctx context.Context, g store.SegmentRow) (*pass, error) {
	end := time.Now().Add(gateWait)
	for {
		if p := w.gate.enter(); p != nil {
			if err := w.admit(ctx, p, g); err != nil {
				p.release()
				return nil, err
			}
			return p, nil
		}
		if !time.Now().Before(end) {
			return nil, later(time.Second)
		}
		if err := w.pause(ctx, min(250*time.Millisecond, w.cfg.Rest)); err != nil {
			return nil, err
		}
	}
}

// admit decides whether the submission of a segment may use a pass. A trial needs an API that answers. So does the one repeat of
// an upload of unknown outcome, which must not be spent on an API that is still failing: segments without such an upload show
// first whether submissions work again.
func (w *Worker) admit(ctx context.Context, p *pass, g store.SegmentRow) error {
	s := w.gate.standing()
	doubtful := !g.SubmitStarted.IsZero()
	if doubtful && !s.sound {
		if s.others > 0 || p.trial && s.sinceFail < restsOfDoubt*w.cfg.Rest {
			return later(w.cfg.Rest)
		}
		if w.cfg.Now().Sub(g.SubmitStarted) < freshFirst {
			fresh, err := w.cfg.Store.Fresh(ctx, w.cfg.Node, w.cfg.Now())
			if err != nil {
				return err
			}
			if fresh {
				return later(w.cfg.Rest)
			}
		}
	}
	if !p.trial && (!doubtful || s.sound) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if w.cfg.API.Probe(ctx) != nil {
		p.unanswered()
		return later(w.cfg.Rest)
	}
	return nil
}

// hold makes a segment wait for a person, because the outcome of its upload is unknown and it is not sent again. Its call is
// decided meanwhile as if the analysis had failed.
func (w *Worker) hold(ctx context.Context, g store.SegmentRow) error {
	if !g.Held() {
		detail := "the outcome of the upload is unknown, and it may have been paid for; it is not sent again " +
			"(hint: see analysis.resend_in_doubt)"
		w.cfg.Log.Warn("segment waits for a person", "call", g.Call, "segment", g.ID, "reason", store.ReasonInDoubt, "detail", detail)
		if err := w.cfg.Decider.Hold(ctx, g, detail); err != nil {
			return err
		}
	}
	return river.JobSnooze(min(max(w.cfg.MaxAge-w.cfg.Now().Sub(g.RecordedAt), 0)+time.Second, holdLook))
}

// failOld fails a segment that was not submitted within its time.
func (w *Worker) failOld(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow) error {
	reason, detail := string(analyzer.KindTimeout), fmt.Sprintf("submission timed out after %v", w.cfg.MaxAge)
	if !g.SubmitStarted.IsZero() {
		reason = store.ReasonInDoubt
		detail = fmt.Sprintf("the outcome of the upload stayed unknown for %v; it may have been paid for", w.cfg.MaxAge)
	}
	return w.fail(ctx, job, g, reason, detail)
}
