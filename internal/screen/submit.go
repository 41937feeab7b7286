package screen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/sony/gobreaker/v2"

	"callscreen/analyzer"
	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/clip"
	"callscreen/internal/report"
	"callscreen/internal/retry"
	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// submit uploads a segment that has no job yet.
func (w *Worker) submit(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow) (store.SegmentRow, error) {
	if w.tooOld(g) {
		return g, w.fail(ctx, job, g, string(analyzer.KindTimeout), fmt.Sprintf("submission timed out after %v", w.cfg.MaxAge))
	}
	switch spared, err := w.spared(ctx, g); {
	case errors.Is(err, store.ErrNotFound):
		return g, errGone
	case err != nil:
		return g, err
	case spared:
		return g, w.finish(ctx, job, g, store.Settlement{State: store.SegmentSkipped, Reason: ReasonSampled, At: w.cfg.Now()})
	}
	if err := w.waitForTurn(ctx); err != nil {
		return g, err
	}
	g, doubt, err := w.cfg.Store.BeginSubmit(ctx, g.ID, w.cfg.Node, w.cfg.Now(), w.cfg.ResendInDoubt)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && g.Settled():
		return g, errGone
	case err != nil || g.JobID != "":
		return g, err
	case doubt == store.GiveUp:
		return g, w.fail(
			ctx,
			job,
			g,
			string(analyzer.KindInDoubt),
			"the outcome of the upload is unknown; it may have been paid for (hint: see analysis.resend_in_doubt)",
		)
	case doubt == store.Resend:
		w.cfg.Log.Warn("upload of unknown outcome repeated; it may be paid for twice", "call", g.Call, "segment", g.ID)
	}
	upload, err := w.upload(ctx, g)
	if err != nil {
		switch {
		case errors.Is(err, audio.ErrNotFound):
			return g, w.elsewhere(ctx, job, g, err)
		case errors.Is(err, audio.ErrTampered):
			w.tampered.Add(1)
			w.cfg.Log.Error("stored audio refused, segment failed", "call", g.Call, "segment", g.ID, "error", err)
			return g, w.fail(ctx, job, g, report.ReasonTampered, err.Error())
		}
		return g, errors.Join(err, w.cfg.Store.NotSubmitted(ctx, g.ID, w.cfg.Now()))
	}
	j, err := w.breaker.Execute(func() (analyzer.Job, error) {
		ctx, cancel := context.WithTimeout(ctx, submitTime)
		defer cancel()
		start := w.cfg.Now()
		j, err := w.cfg.API.Submit(ctx, upload)
		step := segmentStep(StepSubmit, g, start, w.cfg.Now(), err)
		step.Resend = doubt == store.Resend
		observe(w.cfg.Observe, step)
		return j, err
	})
	if err != nil {
		return g, w.refused(ctx, job, g, err)
	}
	if j.ID != "" { // without an id the job is finished already
		if g, err = w.save(ctx, g, j.ID); err != nil || g.JobID != j.ID {
			return g, err
		}
	}
	if j.Done() {
		result, err := j.Result()
		return g, w.conclude(ctx, job, g, result, err)
	}
	return g, nil
}

// tooOld reports whether a segment has waited too long to be submitted.
func (w *Worker) tooOld(g store.SegmentRow) bool { return w.cfg.Since(g.RecordedAt) > w.cfg.MaxAge }

// lasting returns a context for storing what is already known. It outlives the context of an attempt that is stopped.
func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), noteTime)
}

// refused handles an upload that did not become a job.
func (w *Worker) refused(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, err error) error {
	stopped := ctx.Err() != nil
	ctx, cancel := lasting(ctx)
	defer cancel()
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		if err := w.cfg.Store.NotSubmitted(ctx, g.ID, w.cfg.Now()); err != nil {
			return err
		}
		return later(w.cfg.Rest / 10)
	}
	kind := analyzer.Kind(analyzer.Reason(err))
	again, after := analyzer.Retryable(err)
	var known *analyzer.Error
	switch {
	case kind == analyzer.KindInDoubt || kind == analyzer.KindCanceled || kind == analyzer.KindTimeout || stopped && !errors.As(err, &known):
		// The outcome stays unknown. The next attempt decides about a second upload.
		return later(time.Second)
	case kind == analyzer.KindUnauthorized: // the key is at fault, the segment is kept
		after = w.cfg.KeyRetry
	case !again:
		return w.fail(ctx, job, g, string(kind), err.Error())
	}
	wait := max(retry.After(g.Attempts), after)
	if kind == analyzer.KindUnauthorized {
		wait = after
	} else if w.BreakerOpen() {
		wait = min(time.Second, w.cfg.Rest) // the API is the bottleneck, not the schedule
	}
	w.cfg.Log.Warn("segment submission failed, retrying", "call", g.Call, "segment", g.ID, "in", wait, "error", err)
	if err := w.cfg.Store.NotSubmitted(ctx, g.ID, w.cfg.Now().Add(wait)); err != nil {
		return err
	}
	return later(wait)
}

// save stores the job of a segment, and retries until the attempt ends: losing a job id costs money. It returns the
// segment as stored, which may have the job of another node that was faster.
func (w *Worker) save(ctx context.Context, g store.SegmentRow, job string) (store.SegmentRow, error) {
	g.JobID, g.SubmittedAt = job, w.cfg.Now()
	for {
		won, err := w.saveOnce(ctx, g)
		switch {
		case err == nil && won:
			return g, nil
		case err == nil:
			w.cfg.Log.Warn("segment submitted twice and paid for twice", "call", g.Call, "segment", g.ID, "job", job)
			stands, err := w.cfg.Store.Segment(ctx, g.ID)
			if err == nil && stands.Settled() {
				err = errGone
			}
			return stands, err
		case errors.Is(err, store.ErrNotFound):
			return g, errGone // erased
		}
		if stopped := wait.For(ctx, 200*time.Millisecond); stopped != nil {
			w.cfg.Log.Error(
				"saving job id failed; the segment may be uploaded and paid for again",
				"call",
				g.Call,
				"segment",
				g.ID,
				"job",
				job,
				"error",
				err,
			)
			return g, stopped
		}
	}
}

func (w *Worker) saveOnce(ctx context.Context, g store.SegmentRow) (won bool, err error) {
	ctx, cancel := lasting(ctx)
	defer cancel()
	return w.cfg.Store.SaveJob(ctx, g.ID, g.JobID, w.cfg.Node, g.SubmittedAt)
}

// upload returns the audio of a segment in the form of its upload. The upload reads the bytes that were compared with the
// row, not the store again.
func (w *Worker) upload(ctx context.Context, g store.SegmentRow) (analyzer.Audio, error) {
	data, err := audio.Read(ctx, w.cfg.Audio, audio.Evidence{Key: g.AudioKey, SHA256: g.AudioSHA256, Bytes: g.AudioBytes})
	if err != nil {
		return analyzer.Audio{}, err
	}
	if !g.Cleaned || len(g.Voiced) == 0 {
		return analyzer.BytesAudio(data), nil
	}
	pcm, err := clip.Cleaned(bytes.NewReader(data), g.Rate, g.Voiced)
	if err != nil {
		return analyzer.Audio{}, fmt.Errorf("clean segment %s: %w", g.ID, err)
	}
	if data, err = encode.WAV(g.Rate, pcm); err != nil {
		return analyzer.Audio{}, fmt.Errorf("clean segment %s: %w", g.ID, err)
	}
	return analyzer.BytesAudio(data), nil
}
