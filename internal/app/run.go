package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"callscreen/internal/wait"
)

const (
	// drainFor is how long what was recorded gets to be delivered and decided after the program was told to stop. What is
	// not done by then waits on the disk and in the database.
	drainFor   = 30 * time.Second
	hooksFor   = 3 * time.Second
	drainLooks = 50 * time.Millisecond
)

// Run serves until the context ends. Then it takes no new calls, ends those in progress, and lets what was recorded be
// decided for a while.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	// The stages go on after the context has ended, and are stopped one by one, from the packet to the flag.
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
	a.opt.Log.Info("shutting down: no new calls, those in progress are ended and decided", "grace", drainFor)
	a.draining.Store(true)
	a.whip.Drain()
	a.whip.Close()
	a.puller.Close()
	a.live.Close()
	a.drain(base)
	err = errors.Join(err, carrying.stop(), analysing.stop())
	a.flushHooks(base)
	err = errors.Join(err, telling.stop(), showing.stop()) // those who watch have seen it all
	return errors.Join(err, serving.close(base))
}

// drain waits until what was recorded is in the database and decided, or cannot be for now.
func (a *App) drain(base context.Context) {
	ctx, cancel := context.WithTimeout(base, drainFor)
	defer cancel()
	if err := a.forwarder.Drain(ctx); err != nil {
		n, _ := a.forwarder.Waiting()
		a.opt.Log.Warn(
			"what was recorded could not be delivered in time and waits in the spool",
			"entries",
			n,
			"hint",
			"it is delivered when this node starts again on the same data_dir",
		)
		return
	}
	for {
		b, err := a.store.Backlog(ctx)
		switch {
		case err == nil && b.Recorded+b.Submitted == 0:
			return
		case a.store.Shared():
			return // another node, or this one later, goes on; what is under way is finished by the engine
		case err != nil || a.worker.BreakerOpen() || ctx.Err() != nil:
			a.opt.Log.Warn(
				"segments are not analysed yet and wait in the database",
				"recorded",
				b.Recorded,
				"submitted",
				b.Submitted,
				"hint",
				"they are when this node starts again",
			)
			return
		}
		_ = wait.For(ctx, drainLooks)
	}
}

// flushHooks lets messages go out that are due now.
func (a *App) flushHooks(base context.Context) {
	ctx, cancel := context.WithTimeout(base, hooksFor)
	defer cancel()
	a.hooks.current().Flush(ctx)
}

// stage is a part of the program that runs by itself.
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
