package screen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"callscreen/analyzer"
	"callscreen/internal/audio"
	"callscreen/internal/clip"
	"callscreen/internal/retry"
	"callscreen/internal/store"
)

// API is the part of the analysis API that a Worker uses. *analyzer.Client implements it.
type API interface {
	// Submit uploads a clip with one request.
	Submit(ctx context.Context, clip analyzer.Audio) (analyzer.Job, error)
	// Wait polls a job until it is finished or the context ends.
	Wait(ctx context.Context, id string) (analyzer.Result, error)
	// Probe returns nil if the API answers. It submits nothing.
	Probe(ctx context.Context) error
}

// WorkerConfig describes a Worker.
type WorkerConfig struct {
	API     API
	Store   *store.Store
	Decider *Decider
	Audio   audio.Store
	Node    string
	// Interval is the least time between two submissions of all nodes together. 0: none.
	Interval time.Duration
	// Deadline is the longest time that a job may take while the API answers. After it, the segment fails.
	Deadline time.Duration
	// MaxAge is the longest time that a segment waits for its submission, or for an API that does not answer about its job.
	// After it, the segment fails.
	MaxAge time.Duration
	// Grace is the time after which an unknown job, or a completed job without a valid score, fails its segment.
	Grace time.Duration
	// Plan decides which segments need no analysis.
	Plan          Plan
	ResendInDoubt bool
	RetryCleaned  bool
	// Rest is the time without submissions after several failures in a row. Default 5 s.
	Rest time.Duration
	// KeyRetry is the wait before the next attempt after the API has refused the key. Default 1 min.
	KeyRetry time.Duration
	// Observe, if not nil, gets each submission and poll.
	Observe func(Step)
	// Lease, if not nil, bounds the requests to the API: they end when it runs out.
	Lease *Lease
	// Able, if not nil, reports whether this node sees the audio of all nodes. While it does not, segments are left to others.
	Able func() bool
	Now  func() time.Time // for tests
	// Since returns the age of a time that Now has returned. Default: their difference.
	Since func(time.Time) time.Duration
	Log   *slog.Logger
}

// Worker advances one segment each time its job is due: it submits the segment, or polls its job, and settles it. Each
// step is stored before and after, so that another process can go on from there.
type Worker struct {
	river.WorkerDefaults[store.SegmentJob]
	cfg      WorkerConfig
	gate     *gate
	account  atomic.Pointer[analyzer.Kind] // fault of the account, nil without one
	stopping chan struct{}
	running  sync.Map     // segments
	cut      sync.Map     // segments whose last poll the deadline has cut off
	missing  sync.Map     // segments whose audio was not found, with the time at which that was first seen
	tampered atomic.Int64 // segments
}

const (
	// jobTimeout bounds one run of a job, so that others get their turn and the jobs of a dead node are noticed.
	jobTimeout = 60 * time.Second
	slotWait   = 15 * time.Second // for the rate limit
	submitTime = store.UploadTime
	pollTime   = 20 * time.Second
	noteTime   = 5 * time.Second // for storing what is already known, also during shutdown
)

// NewWorker returns a Worker.
func NewWorker(cfg WorkerConfig) *Worker {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rest == 0 {
		cfg.Rest = 5 * time.Second
	}
	if cfg.KeyRetry == 0 {
		cfg.KeyRetry = time.Minute
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Since == nil {
		cfg.Since = func(t time.Time) time.Duration { return cfg.Now().Sub(t) }
	}
	if cfg.Lease != nil {
		cfg.API = leased{cfg.API, cfg.Lease}
	}
	if cfg.Grace == 0 {
		cfg.Grace = analyzer.DefaultGrace
	}
	return &Worker{cfg: cfg, gate: &gate{rest: cfg.Rest, log: cfg.Log}, stopping: make(chan struct{})}
}

// BreakerOpen reports whether submissions are suspended because the API failed several times in a row.
func (w *Worker) BreakerOpen() bool { return w.gate.closed() }

// AccountFault returns why the API rejects the account or its key, "" if it accepts them.
func (w *Worker) AccountFault() analyzer.Kind {
	if k := w.account.Load(); k != nil {
		return *k
	}
	return ""
}

// accountAnswer records whether an answer of the API rejects the account.
func (w *Worker) accountAnswer(err error) {
	if err == nil {
		w.account.Store(nil)
	} else if analyzer.ClassOf(err) == analyzer.ClassAccount {
		kind := analyzer.Kind(analyzer.Reason(err))
		w.account.Store(&kind)
	}
}

// Refused returns the number of segments that failed because their stored audio was changed or exchanged.
func (w *Worker) Refused() int64 { return w.tampered.Load() }

// Stop makes waiting jobs return at once.
func (w *Worker) Stop() { close(w.stopping) }

// Timeout implements river.Worker.
func (w *Worker) Timeout(*river.Job[store.SegmentJob]) time.Duration { return jobTimeout }

// NextRetry implements river.Worker. It applies to errors of the database.
func (w *Worker) NextRetry(job *river.Job[store.SegmentJob]) time.Time {
	return w.cfg.Store.Due().Add(retry.After(len(job.Errors)))
}

// Work implements river.Worker.
func (w *Worker) Work(ctx context.Context, job *river.Job[store.SegmentJob]) error {
	if !w.cfg.Lease.Held() || w.cfg.Able != nil && !w.cfg.Able() {
		return later(time.Second) // another node may take it
	}
	// The end of a run that was frozen makes a job due again that runs already.
	if _, twice := w.running.LoadOrStore(job.Args.Segment, true); twice {
		return later(time.Second)
	}
	defer w.running.Delete(job.Args.Segment)
	ctx = w.cfg.Store.InTenure(ctx) // a run that was frozen must not go on beside the node that took its job over
	g, err := w.cfg.Store.Segment(ctx, job.Args.Segment)
	if errors.Is(err, store.ErrNotFound) || err == nil && g.Settled() {
		return nil // erased, or another node was faster
	}
	if err != nil {
		return err
	}
	if g.JobID == "" {
		if g, err = w.submit(ctx, job, g); err != nil {
			return quiet(err)
		}
	}
	if g.JobID == "" { // another node has reset it for a cleaned copy
		return river.JobSnooze(0)
	}
	return quiet(w.await(ctx, job, g))
}

// quiet returns nil for errors that need no retry: the segment is settled, another node was faster, or the call is
// erased.
func quiet(err error) error {
	if errors.Is(err, store.ErrSettled) || errors.Is(err, store.ErrNotFound) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// later snoozes a job.
func later(d time.Duration) error {
	return river.JobSnooze(d + rand.N(d/4+time.Millisecond))
}

// await polls the job of a segment for a limited time. The deadline counts the time in which the API answers, so an outage ends no
// job that was paid for.
func (w *Worker) await(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow) error {
	left := w.cfg.Deadline - g.Answered
	if left <= 0 {
		return w.fail(ctx, job, g, string(analyzer.KindTimeout), fmt.Sprintf("job %s is not finished after %v", g.JobID, w.cfg.Deadline))
	}
	limit := min(left, pollTime)
	if _, cut := w.cut.LoadAndDelete(g.ID); cut {
		limit = pollTime // the last poll was slower than what was left of the deadline
	}
	polling, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := w.cfg.Now()
	result, err := w.cfg.API.Wait(polling, g.JobID)
	w.asked(g, start, result, err)
	w.accountAnswer(err)
	var known *analyzer.Error
	switch kind := analyzer.Kind(analyzer.Reason(err)); {
	case err == nil:
		return w.conclude(ctx, job, g, result, nil)
	case ctx.Err() != nil:
		return river.JobSnooze(0)
	case analyzer.ClassOf(err) == analyzer.ClassAudio:
		return w.conclude(ctx, job, g, result, err)
	case analyzer.ClassOf(err) == analyzer.ClassAccount:
		if w.tooOld(g) {
			return w.conclude(ctx, job, g, result, err)
		}
		return later(w.cfg.KeyRetry)
	case (kind == analyzer.KindJobNotFound || kind == analyzer.KindInvalidScore) && errors.As(err, &known) && !known.Retry:
		return w.conclude(ctx, job, g, result, err)
	}
	if result.Answered == 0 && limit < pollTime {
		w.cut.Store(g.ID, true)
	}
	return w.unfinished(ctx, job, g, result)
}

// unfinished stores for how long the API has answered about a job without a result, and has it polled again.
func (w *Worker) unfinished(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, seen analyzer.Result) error {
	if seen.Odd < seen.Answered {
		g.Odd = 0 // a regular answer came in between
	}
	g.Odd += seen.Odd
	g.Answered += seen.Answered
	switch {
	case seen.OddKind != "" && g.Odd >= w.cfg.Grace:
		return w.fail(ctx, job, g, string(seen.OddKind), fmt.Sprintf("job %s: no other answer for %v", g.JobID, w.cfg.Grace))
	case seen.Answered == 0 && w.tooOld(g):
		detail := fmt.Sprintf("the API did not answer about job %s, and the segment is older than %v", g.JobID, w.cfg.MaxAge)
		return w.fail(ctx, job, g, string(analyzer.KindTimeout), detail)
	case seen.Answered == 0:
		return later(min(w.cfg.Rest, time.Second)) // others first: the API does not answer about this job
	}
	w.account.Store(nil)
	ctx, cancel := lasting(ctx)
	defer cancel()
	if err := w.cfg.Store.Polled(ctx, g); err != nil {
		return err
	}
	return river.JobSnooze(0) // not finished: others first
}

// asked reports the outcome of polling.
func (w *Worker) asked(g store.SegmentRow, start time.Time, result analyzer.Result, err error) {
	step := segmentStep(StepPoll, g, start, w.cfg.Now(), err)
	step.Done, step.Polls, step.Gap = err == nil, result.Polls, result.Gap
	switch analyzer.Kind(analyzer.Reason(err)) {
	case analyzer.KindJobFailed, analyzer.KindInvalidScore:
		step.Done = true
	case analyzer.KindCanceled, analyzer.KindTimeout:
		step.Err = nil // it is polled again
	}
	observe(w.cfg.Observe, step)
}

// conclude settles a segment by the result of its job, or has a cleaned copy submitted.
func (w *Worker) conclude(
	ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, result analyzer.Result, err error,
) error {
	switch {
	case err == nil:
		return w.finish(ctx, job, g, store.Settlement{
			State:     store.SegmentScored,
			Score:     &result.Score,
			Verdict:   result.Verdict,
			Simulated: result.Simulated,
			At:        w.cfg.Now(),
		})
	case w.cfg.RetryCleaned && !g.Cleaned && clip.MayHelp(err):
		if _, e := w.cfg.Store.AgainCleaned(ctx, g.ID, g.JobID, w.cfg.Now()); e != nil {
			return e
		}
		return river.JobSnooze(0)
	}
	return w.fail(ctx, job, g, analyzer.Reason(err), err.Error())
}

func (w *Worker) fail(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, reason, detail string) error {
	w.cfg.Log.Warn("segment analysis failed", "call", g.Call, "segment", g.ID, "reason", reason, "detail", detail)
	return w.finish(ctx, job, g, store.Settlement{State: store.SegmentFailed, Reason: reason, Detail: detail, At: w.cfg.Now()})
}

// finish settles a segment, and completes its job in the same transaction.
func (w *Worker) finish(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, r store.Settlement) error {
	ctx, cancel := lasting(ctx)
	defer cancel()
	r.Job = g.JobID
	err := w.cfg.Decider.Settle(ctx, g, r, func(tx *store.Tx) error { return tx.Complete(ctx, job) })
	switch {
	case errors.Is(err, store.ErrOtherJob):
		return river.JobSnooze(0)
	case err != nil:
		return err
	}
	return errGone
}
