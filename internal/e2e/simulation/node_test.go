package simulation_test

import (
	"context"
	"database/sql/driver"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/audio"
	"callscreen/internal/hook"
	"callscreen/internal/hook/event"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/policy"
)

// node is one process of `serve`, from the spool to the webhook. The names of its processes, and its folder, are the same.
type node struct {
	*process
	w         *world
	name      string
	store     *store.Store
	spool     *spool.Spool
	forwarder *screen.Forwarder
	worker    *screen.Worker
	hooks     *hook.Dispatcher
	cancel    context.CancelFunc
	done      sync.WaitGroup

	mu    sync.Mutex
	calls map[store.PartKey]bool // that it records
}

// shelf is the audio store as a node sees it.
type shelf struct {
	audio.Store
	node *node
}

func (s shelf) state(ctx context.Context) (blind, full bool, err error) {
	if err := s.node.pass(ctx); err != nil {
		return false, false, err
	}
	s.node.process.mu.Lock()
	defer s.node.process.mu.Unlock()
	return s.node.blind, s.node.full, nil
}

// Put implements audio.Store.
func (s shelf) Put(ctx context.Context, key, file string) error {
	if _, full, err := s.state(ctx); err != nil || full {
		return fmt.Errorf("the audio store takes nothing: %w", err)
	}
	return s.Store.Put(ctx, key, file)
}

// Open implements audio.Store.
func (s shelf) Open(ctx context.Context, key string) (audio.Object, int64, error) {
	if blind, _, err := s.state(ctx); err != nil {
		return nil, 0, err
	} else if blind {
		return nil, 0, fmt.Errorf("%s: %w", key, audio.ErrNotFound)
	}
	return s.Store.Open(ctx, key)
}

var events = []string{event.CallFlagged, event.CallCleared, event.CallInconclusive, event.SegmentScored, event.AnalysisError}

// start starts a process with what the one before it has left in its folder.
func (w *world) start(name string) *node {
	n := &node{
		process: &process{
			name:    name,
			wrong:   w.wrong,
			changes: &w.changes,
			rng:     w.branch(),
			hurt:    time.Now(),
		},
		w:     w,
		name:  name,
		calls: map[store.PartKey]bool{},
	}
	log := slog.New(slog.NewTextHandler(&w.lines, nil)).With("node", name)
	var err error
	n.store, err = store.Open(context.Background(), store.Options{
		Dir:   w.dir,
		Nodes: len(w.names) > 1,
		Wrap:  func(d driver.Driver) driver.Driver { return database{d, n.process} },
		Clock: n.now,
	})
	w.must(err)
	w.must(n.store.Join(context.Background(), name, name))
	n.spool, err = spool.Open(filepath.Join(w.dir, name), spool.Config{Log: log})
	w.must(err)
	decider := screen.NewDecider(screen.DeciderConfig{
		Store:         n.store,
		Policy:        rules(),
		PolicyVersion: 1,
		Subscribers:   func(string) []string { return []string{"crm"} },
		OnSettled:     w.settled,
		Now:           n.store.Now,
	})
	lease := &screen.Lease{}
	shelf := shelf{w.audio, n}
	n.forwarder = screen.NewForwarder(screen.ForwarderConfig{
		Spool:      n.spool,
		Audio:      shelf,
		Decider:    decider,
		OnPromised: w.promise,
		Now:        n.store.Now,
		Since:      n.store.Since,
		Log:        log,
	})
	client, err := analyzer.New("key", &analyzer.Options{
		BaseURL:        "http://api.invalid",
		HTTPClient:     &http.Client{Transport: line{w.api, n}},
		RequestTimeout: 20 * time.Second,
		KeyRetry:       10 * time.Second,
		Log:            log,
	})
	w.must(err)
	n.worker = screen.NewWorker(screen.WorkerConfig{
		API:           client,
		Store:         n.store,
		Decider:       decider,
		Audio:         shelf,
		Node:          name,
		Interval:      w.interval,
		Deadline:      2 * time.Minute,
		MaxAge:        maxAge,
		ResendInDoubt: w.resend,
		KeyRetry:      10 * time.Second,
		Lease:         lease,
		Now:           n.store.Now,
		Since:         n.store.Since,
		Log:           log,
	})
	maintenance, err := screen.NewMaintenance(screen.MaintenanceConfig{
		Worker:   n.worker,
		Store:    n.store,
		Decider:  decider,
		Audio:    shelf,
		Node:     name,
		MaxAge:   maxAge,
		Queue:    newQueue(n, n.worker, 4),
		OwnParts: n.ownParts,
		Lease:    lease,
		Now:      n.store.Now,
		Expiry:   n.store.Earliest,
		Since:    n.store.Since,
		Log:      log,
	})
	w.must(err)
	n.hooks = hook.NewDispatcher(hook.Config{
		Store:     n.store,
		Endpoints: []hook.Endpoint{{Name: "crm", URL: "http://crm.invalid/", Events: events, Secrets: []hook.Secret{make([]byte, 32)}}},
		Schedule: []time.Duration{
			time.Second,
			2 * time.Second,
			5 * time.Second,
			10 * time.Second,
			10 * time.Second,
			10 * time.Second,
			time.Minute,
		},
		Now:       n.store.Now,
		Due:       n.store.Due,
		Held:      lease.Held,
		Transport: wire{w.receiver, n},
		Idle:      5 * time.Second,
		Log:       log,
	})
	var ctx context.Context
	ctx, n.cancel = context.WithCancel(context.Background())
	n.done.Go(func() { n.forwarder.Run(ctx) })
	n.done.Go(func() { n.hooks.Run(ctx) })
	n.done.Go(func() {
		grace := 10 * time.Second
		for ctx.Err() == nil { // as a supervisor restarts it
			if err := maintenance.Run(ctx, grace); err != nil && ctx.Err() == nil {
				w.note("%s: %v", name, err)
			}
			_ = pause(ctx, time.Second)
		}
	})
	return n
}

// maxAge is the longest time that a segment may wait.
const maxAge = 24 * time.Hour

// rules is the policy of all nodes. The calls of a simulation are short.
func rules() policy.Policy {
	p := policy.Default()
	p.MinSpeech = 0
	return p
}

// ownParts returns the parts that this process answers for.
func (n *node) ownParts() map[store.PartKey]bool {
	own := map[store.PartKey]bool{}
	n.mu.Lock()
	for k := range n.calls {
		own[k] = true
	}
	n.mu.Unlock()
	n.forwarder.Parts(own) // after the calls, which it takes over when they end
	return own
}

// end ends the process. If it is killed, nothing of it reaches the world any more.
func (n *node) end(kill bool) {
	if kill {
		n.set(func(p *process) { p.dead = true })
	}
	n.thaw()
	n.cancel()
	n.done.Wait()
	if !kill {
		_ = n.store.Leave(context.Background()) // a restart takes the name all the same
	}
	n.set(func(p *process) { p.dead = true })
	n.w.must(n.spool.Close())
	n.w.must(n.store.Close())
}

// settled notes when a segment was settled.
func (w *world) settled(_ string, s report.SegmentReport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settledAt[s.ID] = time.Now()
}
