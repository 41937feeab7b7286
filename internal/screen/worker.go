package screen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/riverqueue/river"
	"github.com/sony/gobreaker/v2"

	"callscreen/analyzer"
	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/store"
)

// API is what a worker needs of the analysis API. *analyzer.Client is one.
type API interface {
	// Submit uploads a clip with one request.
	Submit(ctx context.Context, clip analyzer.Audio) (analyzer.Job, error)
	// Wait asks about a job until it is finished or the context ends.
	Wait(ctx context.Context, id string) (analyzer.Result, error)
}

// WorkerConfig says how segments are analysed.
type WorkerConfig struct {
	API   API
	Store *store.Store
	Desk  *Desk
	Audio audio.Store
	Node  string
	// Interval is the least time between two submissions of all nodes together; 0 means none.
	Interval time.Duration
	// Deadline is how long a job may take before it counts as failed.
	Deadline time.Duration
	// MaxAge is how long a segment may wait to be submitted before it counts as failed.
	MaxAge        time.Duration
	ResendInDoubt bool
	RetryCleaned  bool
	Log           *slog.Logger
}

// Worker takes one segment a bit further each time its job comes up: it submits it, or asks about it, and settles it.
// What it is about to do, and what came of it, stands in the database, so that another can go on from there.
type Worker struct {
	river.WorkerDefaults[store.SegmentJob]
	cfg      WorkerConfig
	breaker  *gobreaker.CircuitBreaker[analyzer.Job]
	stopping chan struct{}
}

const (
	// A job gets so much time at once. Then it lets others go first; and a node that died is noticed.
	jobTimeout = 60 * time.Second
	slotWait   = 15 * time.Second // for the rate limit, or for the API to come back
	submitTime = 20 * time.Second
	pollTime   = 20 * time.Second

	breakerFailures = 5
	breakerOpen     = 5 * time.Second
)

// NewWorker makes a worker.
func NewWorker(cfg WorkerConfig) *Worker {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Worker{cfg: cfg, stopping: make(chan struct{})}
	w.breaker = gobreaker.NewCircuitBreaker[analyzer.Job](gobreaker.Settings{
		Name: "analysis", Timeout: breakerOpen,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool {
			switch analyzer.Reason(err) {
			case string(analyzer.KindNetwork), string(analyzer.KindUnavailable), string(analyzer.KindInDoubt), string(analyzer.KindTimeout):
				return false
			}
			return true
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case to == gobreaker.StateOpen && from == gobreaker.StateClosed:
				cfg.Log.Error("the analysis API fails; nothing is sent for a while, segments wait", "failures", breakerFailures, "hint", "nothing is lost; check the network and analysis.base_url")
			case to == gobreaker.StateClosed:
				cfg.Log.Info("the analysis API answers again")
			}
		},
	})
	return w
}

// BreakerOpen tells whether the API failed so often that it is left alone.
func (w *Worker) BreakerOpen() bool { return w.breaker.State() == gobreaker.StateOpen }

// Stop makes jobs that only wait give way.
func (w *Worker) Stop() { close(w.stopping) }

// Timeout implements river.Worker.
func (w *Worker) Timeout(*river.Job[store.SegmentJob]) time.Duration { return jobTimeout }

// NextRetry implements river.Worker, for errors, which are those of the database.
func (w *Worker) NextRetry(job *river.Job[store.SegmentJob]) time.Time {
	waits := []time.Duration{1, 2, 5, 15, 60}
	return time.Now().Add(waits[min(len(job.Errors), len(waits)-1)] * time.Second)
}

// Work implements river.Worker.
func (w *Worker) Work(ctx context.Context, job *river.Job[store.SegmentJob]) error {
	g, err := w.cfg.Store.Segment(ctx, job.Args.Segment)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Settled() {
		return nil // erased, or somebody else was faster
	}
	if err != nil {
		return err
	}
	if g.JobID == "" {
		if g, err = w.submit(ctx, job, g); err != nil {
			return quiet(err)
		}
	}
	return quiet(w.await(ctx, job, g))
}

// quiet turns what is no failure of the job into success.
func quiet(err error) error {
	if errors.Is(err, store.ErrSettled) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// later puts a job off.
func later(d time.Duration) error {
	return river.JobSnooze(d + rand.N(d/4+time.Millisecond))
}

// submit uploads a segment that has no job yet.
func (w *Worker) submit(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment) (store.Segment, error) {
	if age := time.Since(g.RecordedAt); age > w.cfg.MaxAge {
		return g, w.fail(ctx, job, g, string(analyzer.KindTimeout), fmt.Sprintf("it could not be submitted within %v", w.cfg.MaxAge))
	}
	if err := w.leave(ctx); err != nil {
		return g, err
	}
	g, doubt, err := w.cfg.Store.BeginSubmit(ctx, g.ID, w.cfg.Node, time.Now(), w.cfg.ResendInDoubt)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && g.Settled():
		return g, errGone
	case err != nil || g.JobID != "":
		return g, err
	case doubt == store.GiveUp:
		return g, w.fail(ctx, job, g, string(analyzer.KindInDoubt), "the upload was cut off, and it is not known whether the API took it; it may have been paid for (hint: see analysis.resend_in_doubt)")
	case doubt == store.Resend:
		w.cfg.Log.Warn("an upload was cut off and is repeated; it may be paid for twice", "call", g.Call, "segment", g.ID)
	}
	clip, closeClip, err := w.clip(ctx, g)
	if err != nil {
		if errors.Is(err, audio.ErrNotFound) {
			return g, w.fail(ctx, job, g, ReasonStorage, err.Error())
		}
		return g, errors.Join(err, w.cfg.Store.NotSubmitted(ctx, g.ID, time.Now()))
	}
	defer closeClip()
	j, err := w.breaker.Execute(func() (analyzer.Job, error) {
		ctx, cancel := context.WithTimeout(ctx, submitTime)
		defer cancel()
		return w.cfg.API.Submit(ctx, clip)
	})
	if err != nil {
		return g, w.refused(ctx, job, g, err)
	}
	if j.ID == "" { // finished at once, without a name
		return g, w.settle(ctx, job, g, j)
	}
	w.save(ctx, &g, j.ID)
	if j.Done() {
		return g, w.settle(ctx, job, g, j)
	}
	return g, nil
}

// leave waits for the API to be there and for the turn of this submission.
func (w *Worker) leave(ctx context.Context) error {
	end := time.Now().Add(slotWait)
	for w.BreakerOpen() {
		if time.Now().After(end) {
			return later(time.Second)
		}
		if err := w.pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
	if w.cfg.Interval <= 0 {
		return nil
	}
	wait, ok, err := w.cfg.Store.Reserve(ctx, "submit", w.cfg.Interval, slotWait)
	if err != nil {
		return err
	}
	if !ok {
		return later(time.Second)
	}
	return w.pause(ctx, wait)
}

// pause waits, but gives way when the program stops.
func (w *Worker) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.stopping:
		return river.JobSnooze(0)
	case <-ctx.Done():
		return river.JobSnooze(0)
	}
}

// refused deals with an upload that did not become a job.
func (w *Worker) refused(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, err error) error {
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		if err := w.cfg.Store.NotSubmitted(ctx, g.ID, time.Now()); err != nil {
			return err
		}
		return later(500 * time.Millisecond)
	}
	kind := analyzer.Kind(analyzer.Reason(err))
	retry, after := analyzer.Retryable(err)
	switch {
	case kind == analyzer.KindInDoubt || kind == analyzer.KindCanceled || kind == analyzer.KindTimeout || ctx.Err() != nil:
		// It stays in doubt, and the next attempt deals with that.
		return later(time.Second)
	case kind == analyzer.KindUnauthorized: // of the key, not of the segment, which is kept
		after = time.Minute
	case !retry:
		return w.fail(ctx, job, g, string(kind), err.Error())
	}
	waits := []time.Duration{1, 2, 5, 15, 60}
	wait := max(waits[min(g.Attempts, len(waits)-1)]*time.Second, after)
	if w.BreakerOpen() {
		wait = time.Second // it waits for the API, not for its turn
	}
	w.cfg.Log.Warn("a segment could not be submitted, and will be again", "call", g.Call, "segment", g.ID, "in", wait, "error", err)
	if err := w.cfg.Store.NotSubmitted(ctx, g.ID, time.Now().Add(wait)); err != nil {
		return err
	}
	return later(wait)
}

// save notes the job of a segment, for as long as this attempt may take: its loss costs money.
func (w *Worker) save(ctx context.Context, g *store.Segment, job string) {
	g.JobID, g.SubmittedAt = job, time.Now()
	for {
		won, err := w.cfg.Store.SaveJob(ctx, g.ID, job, w.cfg.Node, g.SubmittedAt)
		if err == nil {
			if !won {
				w.cfg.Log.Warn("a segment was submitted twice and is paid for twice", "call", g.Call, "segment", g.ID, "job", job)
			}
			return
		}
		if errors.Is(err, store.ErrNotFound) || sleep(ctx, 200*time.Millisecond) != nil {
			w.cfg.Log.Error("the job of a segment could not be noted; it may be sent, and paid for, once more", "call", g.Call, "segment", g.ID, "job", job, "error", err)
			return
		}
	}
}

// clip is the audio of a segment as it is uploaded.
func (w *Worker) clip(ctx context.Context, g store.Segment) (clip analyzer.Audio, done func(), err error) {
	o, size, err := w.cfg.Audio.Open(ctx, g.AudioKey)
	if err != nil {
		return clip, nil, err
	}
	if !g.Cleaned || len(g.Voiced) == 0 {
		if err := o.Close(); err != nil {
			return clip, nil, err
		}
		return analyzer.Audio{Size: size, Open: func() (io.ReadCloser, error) {
			o, _, err := w.cfg.Audio.Open(ctx, g.AudioKey)
			return o, err
		}}, func() {}, nil
	}
	defer o.Close()
	pcm, err := trimmed(o, g.Voiced[0][0], g.Voiced[len(g.Voiced)-1][1])
	if err != nil {
		return clip, nil, fmt.Errorf("clean segment %s: %w", g.ID, err)
	}
	f, err := os.CreateTemp("", "callscreen-cleaned-*.wav")
	if err != nil {
		return clip, nil, err
	}
	done = func() { _ = errors.Join(f.Close(), os.Remove(f.Name())) }
	if err := encode.WriteWAV(f, g.Rate, encode.Clean(pcm, g.Rate)); err != nil {
		done()
		return clip, nil, fmt.Errorf("clean segment %s: %w", g.ID, err)
	}
	data, err := os.ReadFile(f.Name())
	if err != nil {
		done()
		return clip, nil, err
	}
	return analyzer.Audio{Size: int64(len(data)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}, done, nil
}

// await asks about the job of a segment for a while.
func (w *Worker) await(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment) error {
	left := time.Until(g.SubmittedAt.Add(w.cfg.Deadline))
	polling, cancel := context.WithTimeout(ctx, min(max(left, 5*time.Second), pollTime))
	defer cancel()
	result, err := w.cfg.API.Wait(polling, g.JobID)
	kind := analyzer.Kind(analyzer.Reason(err))
	switch {
	case err == nil:
		score := result.Score
		return w.finish(ctx, job, g, store.Settlement{State: store.SegmentScored, Score: &score, Verdict: result.Verdict, Simulated: result.Simulated, At: time.Now()})
	case ctx.Err() != nil:
		return river.JobSnooze(0)
	case kind == analyzer.KindUnauthorized:
		return later(time.Minute)
	case kind == analyzer.KindCanceled || kind == analyzer.KindTimeout:
		if time.Since(g.SubmittedAt) < w.cfg.Deadline {
			return river.JobSnooze(0) // not done yet: others first
		}
		return w.fail(ctx, job, g, string(analyzer.KindTimeout), fmt.Sprintf("job %s is not finished after %v", g.JobID, w.cfg.Deadline))
	case w.cfg.RetryCleaned && !g.Cleaned && analyzer.MayBeAudio(err):
		if _, e := w.cfg.Store.AgainCleaned(ctx, g.ID, g.JobID, time.Now()); e != nil {
			return e
		}
		return river.JobSnooze(0)
	}
	return w.fail(ctx, job, g, string(kind), err.Error())
}

// settle writes down what a job came to that was finished at once.
func (w *Worker) settle(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, j analyzer.Job) error {
	result, err := j.Result()
	if err != nil {
		return w.fail(ctx, job, g, analyzer.Reason(err), err.Error())
	}
	score := result.Score
	return w.finish(ctx, job, g, store.Settlement{State: store.SegmentScored, Score: &score, Verdict: result.Verdict, Simulated: result.Simulated, At: time.Now()})
}

func (w *Worker) fail(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, reason, detail string) error {
	w.cfg.Log.Warn("a segment could not be analysed", "call", g.Call, "segment", g.ID, "reason", reason, "detail", detail)
	return w.finish(ctx, job, g, store.Settlement{State: store.SegmentFailed, Reason: reason, Detail: detail, At: time.Now()})
}

// finish settles a segment, and completes its job in the same transaction.
func (w *Worker) finish(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, r store.Settlement) error {
	if err := w.cfg.Desk.Settle(ctx, g, r, func(tx *store.Tx) error { return tx.Complete(ctx, job) }); err != nil {
		return err
	}
	return errGone
}
