package screen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

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
	wait := g.Uploading(w.cfg.Node, w.cfg.Now())
	switch {
	case wait > 0:
		return g, later(wait)
	case w.tooOld(g):
		return g, w.failOld(ctx, job, g)
	case g.Doubt(w.cfg.ResendInDoubt) == store.Hold:
		return g, w.hold(ctx, g)
	}
	switch spared, err := w.spared(ctx, g); {
	case errors.Is(err, store.ErrNotFound):
		return g, errGone
	case err != nil:
		return g, err
	case spared:
		return g, w.finish(ctx, job, g, store.Settlement{State: store.SegmentSkipped, Reason: ReasonSampled, At: w.cfg.Now()})
	}
	p, err := w.enter(ctx, g)
	if err != nil {
		return g, err
	}
	defer p.release()
	if err := w.waitForTurn(ctx, job.Priority); err != nil {
		return g, err
	}
	upload, err := w.upload(ctx, g) // before the attempt is recorded: a failure leaves the doubt about an earlier upload as it is
	if err != nil {
		return g, w.noAudio(ctx, job, g, err)
	}
	w.missing.Delete(g.ID)
	g, doubt, err := w.cfg.Store.BeginSubmit(ctx, g.ID, w.cfg.Node, w.cfg.Now(), w.cfg.ResendInDoubt)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && g.Settled():
		return g, errGone
	case err != nil || g.JobID != "":
		return g, err
	case doubt == store.UnderWay:
		return g, later(g.Uploading(w.cfg.Node, w.cfg.Now()))
	case doubt == store.Hold:
		return g, w.hold(ctx, g)
	case doubt == store.Resend:
		w.cfg.Log.Warn("upload of unknown outcome repeated; it may be paid for twice", "call", g.Call, "segment", g.ID)
	}
	j, err := w.send(ctx, p, g, upload, doubt == store.Resend)
	if err != nil {
		return g, w.refused(ctx, job, g, err)
	}
	if j.ID != "" { // without an id the job is finished already
		if g, err = w.save(ctx, g, j.ID); err != nil || g.JobID != j.ID {
			return g, err
		}
	}
	if j.Final() {
		result, err := j.Result()
		return g, w.conclude(ctx, job, g, result, err)
	}
	return g, nil
}

// noAudio handles a segment whose audio cannot be uploaded.
func (w *Worker) noAudio(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, err error) error {
	switch {
	case errors.Is(err, audio.ErrNotFound):
		return w.elsewhere(ctx, job, g, err)
	case errors.Is(err, audio.ErrTampered):
		w.tampered.Add(1)
		w.cfg.Log.Error("stored audio refused, segment failed", "call", g.Call, "segment", g.ID, "error", err)
		return w.fail(ctx, job, g, report.ReasonTampered, err.Error())
	}
	return err
}

// send uploads a segment, and tells the gate what the API answered.
func (w *Worker) send(
	ctx context.Context, p *pass, g store.SegmentRow, upload analyzer.Audio, resend bool,
) (j analyzer.Job, err error) {
	ctx, cancel := context.WithTimeout(ctx, submitTime)
	defer cancel()
	start := w.cfg.Now()
	j, err = w.cfg.API.Submit(ctx, upload)
	step := segmentStep(StepSubmit, g, start, w.cfg.Now(), err)
	step.Resend = resend
	observe(w.cfg.Observe, step)
	w.accountAnswer(err)
	kind := analyzer.Kind(analyzer.Reason(err))
	switch {
	case err == nil || analyzer.ClassOf(err) != analyzer.ClassService || kind == analyzer.KindRateLimited:
		p.answered()
	case kind == analyzer.KindCanceled: // by this process
	default:
		p.failed(unknownOutcome(kind))
	}
	return j, err
}

// unknownOutcome reports whether the API may have accepted an upload that ended with an error.
func unknownOutcome(kind analyzer.Kind) bool {
	return kind == analyzer.KindInDoubt || kind == analyzer.KindCanceled || kind == analyzer.KindTimeout
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
	kind := analyzer.Kind(analyzer.Reason(err))
	class := analyzer.ClassOf(err)
	_, after := analyzer.Retryable(err)
	var known *analyzer.Error
	switch {
	case unknownOutcome(kind) || stopped && !errors.As(err, &known):
		// The outcome stays unknown. The next attempt decides about a second upload.
		return later(w.cfg.Rest)
	case class == analyzer.ClassAudio:
		return w.fail(ctx, job, g, string(kind), err.Error())
	}
	wait, level := max(retry.After(g.Attempts), after), slog.LevelWarn
	if class == analyzer.ClassAccount {
		// The client reports the account once, and sends the next request after its own pause.
		wait, level = w.cfg.KeyRetry/4, slog.LevelDebug
	} else if w.BreakerOpen() {
		wait = min(time.Second, w.cfg.Rest) // the API is the bottleneck, not the schedule
	}
	w.cfg.Log.Log(ctx, level, "segment submission failed, retrying", "call", g.Call, "segment", g.ID, "in", wait, "error", err)
	if err := w.notSubmitted(ctx, g.ID, w.cfg.Now().Add(wait)); err != nil {
		return err
	}
	return later(wait)
}

// notSubmitted stores that an upload certainly failed, and tries for as long as it may: otherwise the segment has an upload of
// unknown outcome.
func (w *Worker) notSubmitted(ctx context.Context, segment string, next time.Time) error {
	for {
		err := w.cfg.Store.NotSubmitted(ctx, segment, next)
		if err == nil || wait.For(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}

// save stores the job of a segment, and retries until the attempt ends: losing a job id costs money. It returns the
// segment as stored, which may have the job of another node that was faster.
func (w *Worker) save(ctx context.Context, g store.SegmentRow, job string) (store.SegmentRow, error) {
	g.JobID, g.SubmittedAt = job, w.cfg.Now()
	for {
		outcome, err := w.saveOnce(ctx, g)
		switch {
		case err == nil && outcome == store.JobSaved:
			return g, nil
		case err == nil:
			what := "segment submitted twice and paid for twice"
			if outcome == store.JobShared {
				what = "the API gave one job to two recordings, the outcome of this upload is unknown"
			}
			w.cfg.Log.Warn(what, "call", g.Call, "segment", g.ID, "job", job)
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

func (w *Worker) saveOnce(ctx context.Context, g store.SegmentRow) (store.Saved, error) {
	ctx, cancel := lasting(store.InAnyTenure(ctx)) // the job is paid for
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
