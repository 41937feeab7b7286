package screen

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"callscreen/analyzer"
	"callscreen/internal/anchor"
	"callscreen/internal/audio"
	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// MaintenanceConfig describes a Maintenance.
type MaintenanceConfig struct {
	Worker      *Worker
	Store       *store.Store
	Decider     *Decider
	Audio       audio.Store
	Node        string
	MaxInFlight int // segments in progress at a time
	// LocalAudio means that no other node can read the audio of this one.
	LocalAudio bool
	// MaxAge is the longest time that a segment waits for its submission. After it, the segment fails.
	MaxAge time.Duration
	// KeepRecords is the retention of everything but the audio. 0: until a call is erased.
	KeepRecords time.Duration
	// Endpoints returns the names of the configured webhooks. nil: not known, and no message is given up.
	Endpoints func() []string
	// Room returns the space on the disk of the database that may be used to rewrite it. nil: no limit.
	Room func() (int64, error)
	// Leftovers, if not nil, knows the files of the spool that belong to no readable entry.
	Leftovers Leftovers
	// Signer signs the heads of the audit log. nil does not sign them.
	Signer *anchor.Signer
	// Queue runs the jobs of the segments. nil: the queue of the database.
	Queue Queue
	// OwnParts returns the parts that this process, or its spool, still answers for.
	OwnParts func() map[store.PartKey]bool
	// Lease, if not nil, is the one that the Worker depends on.
	Lease *Lease
	Now   func() time.Time // for tests
	// Expiry returns the time that ends retention. Default: Now.
	Expiry func() time.Time
	// Since returns the age of a time that Now has returned. Default: their difference.
	Since func(time.Time) time.Duration
	Log   *slog.Logger
}

// Queue has the segments worked on whose job is due.
type Queue interface {
	Start(ctx context.Context) error
	// Stop waits until no job runs, or the context ends. StopAndCancel ends the running jobs.
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// Leftovers are the files of a spool that belong to no readable entry. *Forwarder implements it.
type Leftovers interface {
	LeftBehind() (int, error)
	DiscardLeftovers(call string, parts []store.Part, segments []store.SegmentRow) error
}

// Maintenance runs the job queue and takes over the work of nodes that died.
type Maintenance struct {
	cfg   MaintenanceConfig
	queue Queue

	head     atomic.Pointer[store.Head] // of the audit, at the last sweep
	anchored string                     // day of the last announced head; used by the sweep alone

	others   neighbours
	ahead    bool // the clock of this machine differs from that of the database
	retained retained
}

const (
	lookEvery  = 5 * time.Second
	lookTime   = 30 * time.Second // for one attempt
	sweepEvery = time.Minute
	sweepTime  = 10 * time.Minute
	fetchEvery = 100 * time.Millisecond
	clockEvery = 2 * time.Second
	// wrongBy is the difference between the clocks of machine and database that is logged.
	wrongBy = 5 * time.Second
)

// NewMaintenance returns a Maintenance.
func NewMaintenance(cfg MaintenanceConfig) (*Maintenance, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Expiry == nil {
		cfg.Expiry = cfg.Now
	}
	if cfg.Since == nil {
		cfg.Since = func(t time.Time) time.Duration { return cfg.Now().Sub(t) }
	}
	if cfg.OwnParts == nil {
		cfg.OwnParts = func() map[store.PartKey]bool { return nil }
	}
	if cfg.Queue != nil {
		return &Maintenance{cfg: cfg, queue: cfg.Queue}, nil
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, cfg.Worker); err != nil {
		return nil, err
	}
	queues := map[string]river.QueueConfig{store.Queue(cfg.Node): {MaxWorkers: cfg.MaxInFlight}}
	if !cfg.LocalAudio {
		// Segments recorded before the audio moved to a shared store would otherwise never be analysed.
		queues = map[string]river.QueueConfig{store.Queue(""): {MaxWorkers: cfg.MaxInFlight}, store.Queue(cfg.Node): {MaxWorkers: 1}}
	}
	client, err := river.NewClient(cfg.Store.Driver(), &river.Config{
		ID:                          cfg.Node,
		Queues:                      queues,
		Workers:                     workers,
		FetchCooldown:               fetchEvery,
		FetchPollInterval:           fetchEvery,
		PollOnly:                    true,
		JobTimeout:                  jobTimeout,
		RescueStuckJobsAfter:        jobTimeout + 15*time.Second,
		CompletedJobRetentionPeriod: 10 * time.Minute,
		Logger:                      slog.New(queueLog{cfg.Log.Handler()}),
		Test:                        cfg.Store.QueueTime(),
	})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return &Maintenance{cfg: cfg, queue: client}, nil
}

// Run works until the context ends. Then it lets running jobs finish, for at most grace.
func (e *Maintenance) Run(ctx context.Context, grace time.Duration) error {
	for {
		err := e.timed(ctx, beginTime, e.begin)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil // stopped before the start
		}
		e.cfg.Log.Warn("jobs of before the start not taken up, retrying", "error", err)
		_ = wait.For(ctx, heartbeatEvery)
	}
	// Before the first job is done, so that its decision takes the policies of the other nodes into account.
	if err := e.timed(ctx, heartbeatTime, e.heartbeat); err != nil && ctx.Err() == nil {
		e.cfg.Log.Warn("first heartbeat failed, retrying", "error", err)
	}
	working := context.WithoutCancel(ctx)
	for {
		err := e.queue.Start(working)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil
		}
		e.cfg.Log.Warn("job queue not started, retrying", "error", err)
		_ = wait.For(ctx, heartbeatEvery)
	}
	var all sync.WaitGroup
	for _, task := range []task{
		{"heartbeat", heartbeatEvery, heartbeatTime, e.heartbeat},
		{"look after other nodes", lookEvery, lookTime, e.LookAfter},
		{"sweep", sweepEvery, sweepTime, e.sweep},
		{"check of the clocks", clockEvery, lookTime, e.clocks},
	} {
		all.Go(func() { e.every(ctx, task) })
	}
	all.Wait()
	e.cfg.Worker.Stop()
	stop, cancel := context.WithTimeout(working, grace)
	defer cancel()
	if err := e.queue.Stop(stop); err != nil {
		now, cancel := context.WithTimeout(working, 5*time.Second)
		defer cancel()
		if err := e.queue.StopAndCancel(now); err != nil { // its connections do not answer
			e.cfg.Log.Warn("job queue not stopped in time, the next start or another node goes on", "error", err)
		}
	}
	return nil
}

// begin takes up the jobs of before the start: this process runs none yet. The database may not answer for so long that another node has
// taken over.
func (e *Maintenance) begin(ctx context.Context) error {
	_, err := e.cfg.Store.Release(ctx, e.cfg.Node)
	if errors.Is(err, store.ErrFenced) {
		if err := e.fenced(ctx); err != nil {
			return err
		}
		_, err = e.cfg.Store.Release(ctx, e.cfg.Node)
	}
	if err != nil {
		return err
	}
	n, err := e.cfg.Store.PullIn(ctx)
	if n > 0 {
		e.cfg.Log.Warn("work was due too far ahead, the clock was set back; it is due now", "rows", n)
	}
	return err
}

// heartbeat shows the other nodes that this one is alive and by which policy it decides, and reads their policies.
func (e *Maintenance) heartbeat(ctx context.Context) error {
	start := time.Now()
	err := e.cfg.Store.Heartbeat(ctx, e.cfg.Node, e.cfg.Decider.PolicyVersion())
	if errors.Is(err, store.ErrFenced) {
		return e.fenced(ctx)
	}
	if err != nil {
		return err
	}
	e.cfg.Lease.renew(start)
	live, err := e.cfg.Store.LivePolicies(ctx, silentAfter)
	if err != nil {
		return err
	}
	var others []store.PolicyInForce
	for _, p := range live {
		p.Nodes = slices.DeleteFunc(p.Nodes, func(node string) bool { return node == e.cfg.Node })
		if len(p.Nodes) > 0 {
			others = append(others, p)
		}
	}
	return e.cfg.Decider.UseOthers(others)
}

// task is periodic work. Each attempt has a deadline: a query that hangs must not stop it for good.
type task struct {
	name            string
	interval, limit time.Duration
	do              func(context.Context) error
}

// timed runs one attempt of a task.
func (e *Maintenance) timed(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}

// every repeats a task. A failed task is repeated at the next tick.
func (e *Maintenance) every(ctx context.Context, t task) {
	tick := time.NewTicker(t.interval)
	defer tick.Stop()
	failed := false
	for {
		err := e.timed(ctx, t.limit, t.do)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failed {
			e.cfg.Log.Warn("maintenance task failed, retrying", "task", t.name, "error", err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// clocks logs clocks that were set, and their differences.
func (e *Maintenance) clocks(ctx context.Context) error {
	for _, j := range e.cfg.Store.CheckClocks() {
		e.cfg.Log.Warn(
			"clock was set",
			"clock",
			j.Clock,
			"by",
			j.By.Round(time.Millisecond),
			"hint",
			"waits and limits go on; times of records follow the clock",
		)
		if j.By < 0 && j.Clock == "database" {
			if _, err := e.cfg.Store.PullIn(ctx); err != nil {
				return err
			}
		}
	}
	offset := e.cfg.Store.ClockOffset()
	if wrong := offset.Abs() > wrongBy; wrong != e.ahead {
		e.ahead = wrong
		if wrong {
			e.cfg.Log.Warn(
				"clock differs from that of the database, whose time is used",
				"ahead",
				offset.Round(time.Millisecond),
				"hint",
				"run NTP on both machines; signatures of webhooks carry the time of this machine",
			)
		}
	}
	return nil
}

// beginTime bounds one attempt to take up the jobs of before the start. It is longer than that of a transaction.
const beginTime = 40 * time.Second

// earlierAfter is the time after its end from which a call is part of the backlog.
const earlierAfter = time.Minute

// sweep gives segments without a job a new one, puts live calls before the backlog, and deletes expired data.
func (e *Maintenance) sweep(ctx context.Context) error {
	n, err := e.cfg.Store.Rewake(ctx)
	if n > 0 {
		e.cfg.Log.Warn("segments without a job got a new one", "segments", n)
	}
	_, first := e.cfg.Store.LiveFirst(ctx, e.cfg.Now().Add(-earlierAfter))
	return errors.Join(err, first, e.overdue(ctx), e.retain(ctx), e.anchor(ctx), e.removeNodes(ctx))
}

// overdueAfter is the time that the job of a segment gets to fail it before maintenance does.
const overdueAfter = 10 * time.Minute

// overdueAtOnce is the number of segments that one sweep examines.
const overdueAtOnce = 1000

// overdue fails segments that no node could submit: the node that has their audio is gone.
func (e *Maintenance) overdue(ctx context.Context) error {
	now := e.cfg.Now()
	list, err := e.cfg.Store.Overdue(ctx, now.Add(-e.cfg.MaxAge-overdueAfter), overdueAtOnce)
	if err != nil {
		return err
	}
	for _, g := range list {
		if e.cfg.Since(g.RecordedAt) <= e.cfg.MaxAge+overdueAfter {
			continue // the clock was set since
		}
		e.cfg.Log.Error(
			"segment submission timed out, segment failed",
			"call",
			g.Call,
			"segment",
			g.ID,
			"recorded",
			g.RecordedAt,
			"audio_node",
			g.AudioNode,
		)
		detail := fmt.Sprintf("submission timed out after %v", e.cfg.MaxAge)
		if g.AudioNode != "" {
			detail += ", and only node " + g.AudioNode + " has its audio"
		}
		reason := string(analyzer.KindTimeout)
		if g.Held() {
			reason = g.Reason
		}
		err := e.cfg.Decider.Settle(
			ctx,
			g,
			store.Settlement{State: store.SegmentFailed, Reason: reason, Detail: detail, At: now},
			nil,
		)
		if err != nil && !errors.Is(err, store.ErrSettled) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}
