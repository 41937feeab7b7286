package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"callscreen/internal/wait"
)

const (
	// drainFor is the time that recorded segments get to be delivered and decided during shutdown. The rest waits on the
	// disk and in the database.
	drainFor   = 30 * time.Second
	hooksFor   = 3 * time.Second
	drainLooks = 50 * time.Millisecond
)

// Run serves until the context ends. Then it accepts no new calls, ends those in progress, and lets recorded segments be
// decided for a limited time.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	// The stages outlive the context and are stopped one by one, from the packet to the flag.
	base := context.WithoutCancel(ctx)
	carrying := start(base, func(ctx context.Context) error { a.forwarder.Run(ctx); return nil })
	analysing := start(base, func(ctx context.Context) error { return a.maintenance.Run(ctx, drainFor/2) })
	telling := start(base, func(ctx context.Context) error { a.hooks.run(ctx); return nil })
	showing := start(base, a.review.Run)
	serving := a.listeners.serve(a.handlers())
	select {
	case err = <-serving.served:
		serving.ended++
	case <-analysing.done:
	case <-ctx.Done():
	}
	a.opt.Log.Info("shutting down", "grace", drainFor)
	a.draining.Store(true)
	a.whip.Drain()
	a.whip.Close()
	a.puller.Close()
	a.live.Close()
	a.drain(base)
	err = errors.Join(err, carrying.stop(), analysing.stop())
	a.flushHooks(base)
	err = errors.Join(err, telling.stop(), showing.stop()) // the listeners have got all events
	return errors.Join(err, serving.close(base))
}

// drain waits until all recorded segments are stored and decided, or cannot be for now.
func (a *App) drain(base context.Context) {
	ctx, cancel := context.WithTimeout(base, drainFor)
	defer cancel()
	if err := a.forwarder.Drain(ctx); err != nil {
		n, _ := a.forwarder.Waiting()
		a.opt.Log.Warn(
			"spool not delivered before shutdown",
			"entries",
			n,
			"hint",
			"the next start on the same data_dir delivers it",
		)
		return
	}
	for {
		b, err := a.store.Backlog(ctx)
		switch {
		case err == nil && b.Recorded+b.Submitted == 0:
			return
		case a.store.Shared():
			return // another node, or this one later, goes on; Maintenance finishes running jobs
		case err != nil || a.worker.BreakerOpen() || ctx.Err() != nil:
			a.opt.Log.Warn(
				"segments not analysed before shutdown",
				"recorded",
				b.Recorded,
				"submitted",
				b.Submitted,
				"hint",
				"the next start analyses them",
			)
			return
		}
		_ = wait.For(ctx, drainLooks)
	}
}

// flushHooks delivers the messages that are due.
func (a *App) flushHooks(base context.Context) {
	ctx, cancel := context.WithTimeout(base, hooksFor)
	defer cancel()
	a.hooks.current().Flush(ctx)
}

// stage is a part of the program with a goroutine of its own.
type stage struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error
	once   sync.Once
}

func start(ctx context.Context, run func(context.Context) error) *stage {
	ctx, cancel := context.WithCancel(ctx)
	s := &stage{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = run(ctx)
	}()
	return s
}

// stop ends a stage and returns its error, once.
func (s *stage) stop() (err error) {
	s.cancel()
	<-s.done
	s.once.Do(func() { err = s.err })
	return err
}
