package screen

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"

	"callscreen/analyzer"
	"callscreen/internal/anchor"
	"callscreen/internal/audio"
	"callscreen/internal/store"
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
	// Signer signs the heads of the audit log. nil does not sign them.
	Signer *anchor.Signer
	// OwnParts returns the parts that this process, or its spool, still answers for.
	OwnParts func() map[store.PartKey]bool
	Now      func() time.Time // for tests
	Log      *slog.Logger
}

// Maintenance runs the job queue and takes over the work of nodes that died.
type Maintenance struct {
	cfg    MaintenanceConfig
	client *river.Client[*sql.Tx]

	head     atomic.Pointer[store.Head] // of the audit, at the last sweep
	anchored string                     // day of the last announced head; used by the sweep alone
}

const (
	heartbeatEvery = 2 * time.Second
	silentAfter    = 20 * time.Second // without a heartbeat a node counts as dead
	lookEvery      = 5 * time.Second
	sweepEvery     = time.Minute
	fetchEvery     = 100 * time.Millisecond
)

// NewMaintenance returns a Maintenance.
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
	})
	if err != nil {
		return nil, fmt.Errorf("job queue: %w", err)
	}
	return &Maintenance{cfg: cfg, client: client}, nil
}

// Run works until the context ends. Then it lets running jobs finish, for at most grace.
func (e *Maintenance) Run(ctx context.Context, grace time.Duration) error {
	// This process has just started, so no job of this node is running.
	if _, err := e.cfg.Store.Release(ctx, e.cfg.Node); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before the start
		}
		return err
	}
	// Before the first job is done, so that its decision takes the policies of the other nodes into account.
	if err := e.heartbeat(ctx); err != nil && ctx.Err() == nil {
		e.cfg.Log.Warn("first heartbeat failed, retrying", "error", err)
	}
	working := context.WithoutCancel(ctx)
	if err := e.client.Start(working); err != nil {
		return fmt.Errorf("job queue: %w", err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		e.every(ctx, heartbeatEvery, "heartbeat", func() error { return e.heartbeat(ctx) })
	})
	all.Go(func() { e.every(ctx, lookEvery, "look after other nodes", func() error { return e.LookAfter(ctx) }) })
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

// heartbeat shows the other nodes that this one is alive and by which policy it decides, and reads their policies.
func (e *Maintenance) heartbeat(ctx context.Context) error {
	if err := e.cfg.Store.Heartbeat(ctx, e.cfg.Node, e.cfg.Decider.PolicyVersion()); err != nil {
		return err
	}
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

// every repeats a task. A failed task is repeated at the next tick.
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
			e.cfg.Log.Warn("maintenance task failed, retrying", "task", what, "error", err)
		}
		failed = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// LookAfter takes over the jobs and parts of dead nodes. Run calls it every few seconds.
func (e *Maintenance) LookAfter(ctx context.Context) error {
	if !e.cfg.Store.Shared() {
		// No other process records into this database, so all open parts are of earlier processes or imported.
		return e.endParts(ctx, "", "interrupted")
	}
	// Open parts of this node that it does not record: their end was lost with the spool.
	if err := e.endParts(ctx, e.cfg.Node, "interrupted"); err != nil {
		return err
	}
	nodes, err := e.cfg.Store.Silent(ctx, silentAfter)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		if node == e.cfg.Node {
			continue // this process was frozen
		}
		n, err := e.cfg.Store.Release(ctx, node)
		if err != nil {
			return err
		}
		if n > 0 {
			e.cfg.Log.Warn("node silent, jobs taken over", "node", node, "jobs", n)
		}
		if err := e.endParts(ctx, node, "node_lost"); err != nil {
			return err
		}
	}
	return nil
}

// endParts ends the open parts of a node, or of all nodes if it is "", except those that this process answers for.
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
		warning := interruptedWarning
		if how == "node_lost" {
			warning = "the recording node is silent; the rest of its spool is delivered when it is back"
		}
		e.cfg.Log.Warn("interrupted call ended", "call", k.Call, "node", k.Node, "how", how)
		if err := e.cfg.Decider.Progress(ctx, store.Part{PartKey: k, EndedAt: e.cfg.Now(), How: how, Warnings: []string{warning}}); err != nil {
			return err
		}
	}
	return nil
}

// sweep gives segments without a job a new one, and deletes expired data.
func (e *Maintenance) sweep(ctx context.Context) error {
	n, err := e.cfg.Store.Rewake(ctx)
	if n > 0 {
		e.cfg.Log.Warn("segments without a job got a new one", "segments", n)
	}
	return errors.Join(err, e.overdue(ctx), e.expire(ctx), e.forget(ctx), e.anchor(ctx))
}

// overdueAfter is the time that the job of a segment gets to fail it before maintenance does.
const overdueAfter = 10 * time.Minute

// overdue fails segments that no node could submit: the node that has their audio is gone.
func (e *Maintenance) overdue(ctx context.Context) error {
	now := e.cfg.Now()
	list, err := e.cfg.Store.Overdue(ctx, now.Add(-e.cfg.MaxAge-overdueAfter), 100)
	if err != nil {
		return err
	}
	for _, g := range list {
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
