package app

import (
	"context"
	"errors"
	"sync"
)

// Run serves until the context ends. Then it accepts no new calls, ends those in progress, and lets recorded segments be
// decided for a limited time.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	// The stages outlive the context and are stopped one by one, from the packet to the flag.
	base := context.WithoutCancel(ctx)
	s := stages{
		forwarding:  start(base, func(ctx context.Context) error { a.forwarder.Run(ctx); return nil }),
		maintaining: start(base, func(ctx context.Context) error { return a.maintenance.Run(ctx, drainFor/2) }),
		delivering:  start(base, func(ctx context.Context) error { a.hooks.run(ctx); return nil }),
		reviewing:   start(base, a.review.Run),
		learning:    start(base, a.loadAnswerTimes().run),
		serving:     a.listeners.serve(a.handlers(), a.auth.Guard),
	}
	select {
	case err = <-s.serving.served:
		s.serving.ended++
	case <-s.maintaining.done:
	case <-ctx.Done():
	}
	return errors.Join(err, a.shutdown(base, s))
}

// stages are the parts of a running program.
type stages struct {
	forwarding  *stage // spool to database
	maintaining *stage // workers and sweeps
	delivering  *stage // webhooks
	reviewing   *stage // events of the review page
	learning    *stage // how long jobs of the analysis API take
	serving     *servers
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
