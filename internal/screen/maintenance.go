package screen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"callscreen/analyzer"
	"callscreen/internal/audio"
	"callscreen/internal/store"
)

// MaintenanceConfig says what an engine runs.
type MaintenanceConfig struct {
	Worker      *Worker
	Store       *store.Store
	Decider     *Decider
	Audio       audio.Store
	Node        string
	MaxInFlight int // segments that are worked on at a time
	// LocalAudio tells that no other node can get at the audio of this one.
	LocalAudio bool
	// MaxAge is how long a segment may wait to be submitted before it counts as failed.
	MaxAge time.Duration
	// KeepRecords is how long all else about a call is kept than its audio; 0 is until it is erased.
	KeepRecords time.Duration
	// OwnParts are the parts that this process, or its spool, still answers for.
	OwnParts func() map[store.PartKey]bool
	Now      func() time.Time // for tests
	Log      *slog.Logger
}

// Maintenance works off what is in the database, and looks after what others have left behind.
type Maintenance struct {
	cfg    MaintenanceConfig
	client *river.Client[*sql.Tx]
}

const (
	heartbeatEvery = 2 * time.Second
	silentAfter    = 20 * time.Second // a node that was not heard of for so long is taken for dead
	lookEvery      = 5 * time.Second
	sweepEvery     = time.Minute
	fetchEvery     = 100 * time.Millisecond
)

// NewMaintenance makes an engine.
func NewMaintenance(cfg MaintenanceConfig) (*Maintenance, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OwnParts == nil {
		cfg.OwnParts = func() map[store.PartKey]bool { return nil }
	}
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, cfg.Worker); err != nil {
		return nil, err
	}
	queues := map[string]river.QueueConfig{store.Queue(cfg.Node): {MaxWorkers: cfg.MaxInFlight}}
	if !cfg.LocalAudio {
		// What was recorded before the audio moved to where all nodes have it would otherwise wait for ever.
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
	})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return &Maintenance{cfg: cfg, client: client}, nil
}

// queueLog lets through what an operator must know of the job queue.
type queueLog struct{ slog.Handler }

func (q queueLog) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// Handle says less about what the courier and the breaker tell better.
func (q queueLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Level > slog.LevelWarn {
		r.Level = slog.LevelWarn
	}
	return q.Handler.Handle(ctx, r)
}

func (q queueLog) WithAttrs(a []slog.Attr) slog.Handler { return queueLog{q.Handler.WithAttrs(a)} }
func (q queueLog) WithGroup(g string) slog.Handler      { return queueLog{q.Handler.WithGroup(g)} }

// Run works until the context ends. Then it lets jobs that are under way finish, for grace at the most.
func (e *Maintenance) Run(ctx context.Context, grace time.Duration) error {
	// Whatever this node was working on when it stopped, it is not any more.
	if _, err := e.cfg.Store.Release(ctx, e.cfg.Node); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	working := context.WithoutCancel(ctx)
	if err := e.client.Start(working); err != nil {
		return fmt.Errorf("job queue: %w", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		e.every(ctx, heartbeatEvery, "heartbeat", func() error { return e.cfg.Store.Heartbeat(ctx, e.cfg.Node) })
	})
	all.Go(func() { e.every(ctx, lookEvery, "look after other nodes", func() error { return e.lookAfter(ctx) }) })
	all.Go(func() { e.every(ctx, sweepEvery, "sweep", func() error { return e.sweep(ctx) }) })
	all.Wait()
	e.cfg.Worker.Stop()
	stop, cancel := context.WithTimeout(working, grace)
	defer cancel()
	if err := e.client.Stop(stop); err != nil {
		now, cancel := context.WithTimeout(working, 5*time.Second)
		defer cancel()
		return e.client.StopAndCancel(now)
	}
	return nil
}

// every does something now and then. What fails is tried again the next time.
func (e *Maintenance) every(ctx context.Context, interval time.Duration, what string, do func() error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	failed := false
	for {
		err := do()
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failed {
			e.cfg.Log.Warn("the database does not do what it should", "what", what, "error", err, "hint", "it is tried again")
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lookAfter takes over what nodes have left behind that died.
func (e *Maintenance) lookAfter(ctx context.Context) error {
	if !e.cfg.Store.Shared() {
		// Whoever recorded here before is gone, by whatever name, and so is who recorded what was imported.
		return e.endParts(ctx, "", "interrupted")
	}
	// Parts of our own that nobody records any more: their end was lost with the spool.
	if err := e.endParts(ctx, e.cfg.Node, "interrupted"); err != nil {
		return err
	}
	nodes, err := e.cfg.Store.Silent(ctx, silentAfter)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node == e.cfg.Node {
			continue // we were frozen, and are back
		}
		n, err := e.cfg.Store.Release(ctx, node)
		if err != nil {
			return err
		}
		if n > 0 {
			e.cfg.Log.Warn("another node is silent; its jobs are taken over", "node", node, "jobs", n)
		}
		if err := e.endParts(ctx, node, "node_lost"); err != nil {
			return err
		}
	}
	return nil
}

// endParts ends the parts of a node, or of all if it is "", that this process does not answer for.
func (e *Maintenance) endParts(ctx context.Context, node, how string) error {
	own := map[store.PartKey]bool{}
	maps.Copy(own, e.cfg.OwnParts()) // before, for those that end meanwhile
	open, err := e.cfg.Store.OpenParts(ctx, node)
	if err != nil {
		return err
	}
	maps.Copy(own, e.cfg.OwnParts()) // and after, for those that begin
	for _, k := range open {
		if own[k] {
			continue
		}
		warning := "the recording was interrupted; what had not been cut then is missing"
		if how == "node_lost" {
			warning = "the node that recorded it is silent; what its spool holds comes when it is back"
		}
		e.cfg.Log.Warn("a call is ended whose recording broke off", "call", k.Call, "node", k.Node, "how", how)
		if err := e.cfg.Decider.Progress(ctx, store.Part{PartKey: k, EndedAt: e.cfg.Now(), How: how, Warnings: []string{warning}}); err != nil {
			return err
		}
	}
	return nil
}

// sweep gives segments that have lost their alarm clock another one, and deletes what was kept for long enough.
func (e *Maintenance) sweep(ctx context.Context) error {
	n, err := e.cfg.Store.Rewake(ctx)
	if n > 0 {
		e.cfg.Log.Warn("segments had lost their job and got another", "segments", n)
	}
	return errors.Join(err, e.overdue(ctx), e.expire(ctx), e.forget(ctx))
}

// overdueAfter is how much longer than it may a segment waits before it is failed here rather than by its job.
const overdueAfter = 10 * time.Minute

// overdue fails segments that nobody could work on for too long: the node that has their audio is gone.
func (e *Maintenance) overdue(ctx context.Context) error {
	now := e.cfg.Now()
	list, err := e.cfg.Store.Overdue(ctx, now.Add(-e.cfg.MaxAge-overdueAfter), 100)
	if err != nil {
		return err
	}
	for _, g := range list {
		e.cfg.Log.Error(
			"a segment was not submitted in time and counts as failed",
			"call",
			g.Call,
			"segment",
			g.ID,
			"recorded",
			g.RecordedAt,
			"audio_node",
			g.AudioNode,
		)
		detail := fmt.Sprintf("it could not be submitted within %v", e.cfg.MaxAge)
		if g.AudioNode != "" {
			detail += ", and only node " + g.AudioNode + " has its audio"
		}
		err := e.cfg.Decider.Settle(
			ctx,
			g,
			store.Settlement{State: store.SegmentFailed, Reason: string(analyzer.KindTimeout), Detail: detail, At: now},
			nil,
		)
		if err != nil && !errors.Is(err, store.ErrSettled) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}
