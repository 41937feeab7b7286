package screen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/sony/gobreaker/v2"

	"callscreen/analyzer"
	"callscreen/internal/audio"
	"callscreen/internal/clip"
	"callscreen/internal/retry"
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
	API     API
	Store   *store.Store
	Decider *Decider
	Audio   audio.Store
	Node    string
	// Interval is the least time between two submissions of all nodes together; 0 means none.
	Interval time.Duration
	// Deadline is how long a job may take before it counts as failed.
	Deadline time.Duration
	// MaxAge is how long a segment may wait to be submitted before it counts as failed.
	MaxAge time.Duration
	// Plan says what need not be analysed.
	Plan          Plan
	ResendInDoubt bool
	RetryCleaned  bool
	// Rest is how long the API is left alone after it has failed several times in a row. Default 5 s.
	Rest time.Duration
	// KeyRetry is how long a segment waits after the API has refused the key. Default 1 min.
	KeyRetry time.Duration
	// Observe, if not nil, is told of submissions and polls.
	Observe func(Step)
	Now     func() time.Time // for tests
	Log     *slog.Logger
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

	noteTime = 5 * time.Second // for writing down what is known already, also when the program is told to stop

	breakerFailures = 5
)

// NewWorker makes a worker.
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
	w := &Worker{cfg: cfg, stopping: make(chan struct{})}
	w.breaker = gobreaker.NewCircuitBreaker[analyzer.Job](gobreaker.Settings{
		Name:        "analysis",
		Timeout:     cfg.Rest,
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
				cfg.Log.Error(
					"the analysis API fails; nothing is sent for a while, segments wait",
					"failures",
					breakerFailures,
					"hint",
					"nothing is lost; check the network and analysis.base_url",
				)
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
	return time.Now().Add(retry.After(len(job.Errors)))
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
	if g.JobID == "" { // somebody else has taken it back meanwhile, to be sent in a cleaner copy
		return river.JobSnooze(0)
	}
	return quiet(w.await(ctx, job, g))
}

// quiet turns what is no failure of the job into success: it is done, or somebody else was faster, or the call is erased.
func quiet(err error) error {
	if errors.Is(err, store.ErrSettled) || errors.Is(err, store.ErrNotFound) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// later puts a job off.
func later(d time.Duration) error {
	return river.JobSnooze(d + rand.N(d/4+time.Millisecond))
}

// await asks about the job of a segment for a while.
func (w *Worker) await(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment) error {
	end := g.SubmittedAt.Add(w.cfg.Deadline)
	polling, cancel := context.WithTimeout(ctx, min(max(end.Sub(w.cfg.Now()), 5*time.Second), pollTime))
	defer cancel()
	start := w.cfg.Now()
	result, err := w.cfg.API.Wait(polling, g.JobID)
	w.asked(g, start, result, err)
	kind := analyzer.Kind(analyzer.Reason(err))
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return river.JobSnooze(0)
	case kind == analyzer.KindUnauthorized && !w.tooOld(g):
		return later(w.cfg.KeyRetry)
	case kind == analyzer.KindCanceled || kind == analyzer.KindTimeout:
		if w.cfg.Now().Before(end) {
			return river.JobSnooze(0) // not done yet: others first
		}
		return w.fail(ctx, job, g, string(analyzer.KindTimeout), fmt.Sprintf("job %s is not finished after %v", g.JobID, w.cfg.Deadline))
	}
	return w.conclude(ctx, job, g, result, err)
}

// asked tells of an answer, or that there was none yet.
func (w *Worker) asked(g store.Segment, start time.Time, result analyzer.Result, err error) {
	step := segmentStep(StepPoll, g, start, w.cfg.Now(), err)
	step.Done, step.Polls, step.Gap = err == nil, result.Polls, result.Gap
	switch analyzer.Kind(analyzer.Reason(err)) {
	case analyzer.KindJobFailed, analyzer.KindInvalidScore:
		step.Done = true
	case analyzer.KindCanceled, analyzer.KindTimeout:
		step.Err = nil // it is asked again
	}
	observe(w.cfg.Observe, step)
}

// conclude settles a segment by what its job came to, or has it sent once more in a cleaner copy.
func (w *Worker) conclude(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, result analyzer.Result, err error) error {
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

func (w *Worker) fail(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, reason, detail string) error {
	w.cfg.Log.Warn("a segment could not be analysed", "call", g.Call, "segment", g.ID, "reason", reason, "detail", detail)
	return w.finish(ctx, job, g, store.Settlement{State: store.SegmentFailed, Reason: reason, Detail: detail, At: w.cfg.Now()})
}

// finish settles a segment, and completes its job in the same transaction.
func (w *Worker) finish(ctx context.Context, job *river.Job[store.SegmentJob], g store.Segment, r store.Settlement) error {
	ctx, cancel := lasting(ctx)
	defer cancel()
	if err := w.cfg.Decider.Settle(ctx, g, r, func(tx *store.Tx) error { return tx.Complete(ctx, job) }); err != nil {
		return err
	}
	return errGone
}
