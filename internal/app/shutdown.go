package app

import (
	"context"
	"errors"
	"fmt"
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

// shutdown stops the stages in the order of the data: new calls are refused, live calls end, their segments are decided,
// webhooks are delivered, and the listeners close last. close follows it.
func (a *App) shutdown(base context.Context, s stages) error {
	a.opt.Log.Info("shutting down", "grace", drainFor)
	a.draining.Store(true)
	a.whip.Drain()
	a.whip.Close()
	a.puller.Close()
	a.live.Close()
	a.drain(base)
	err := errors.Join(s.forwarding.stop(), s.maintaining.stop(), s.learning.stop())
	a.flushHooks(base)
	err = errors.Join(err, s.delivering.stop(), s.reviewing.stop()) // the listeners have got all events
	return errors.Join(err, s.serving.close(base))
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
		case err != nil || a.worker.BreakerOpen() || a.worker.AccountFault() != "" || ctx.Err() != nil:
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

// cleanup closes something that New opened.
type cleanup struct {
	name string
	do   func() error
}

// onClose registers a named cleanup. close runs them in reverse order.
func (a *App) onClose(name string, do func() error) {
	a.cleanups = append(a.cleanups, cleanup{name, do})
}

// close runs the cleanups. One that fails is logged by name and does not keep the others from running.
func (a *App) close() error {
	var errs []error
	for i := len(a.cleanups) - 1; i >= 0; i-- {
		c := a.cleanups[i]
		if err := c.do(); err != nil {
			a.opt.Log.Warn("cleanup failed", "what", c.name, "error", err)
			errs = append(errs, fmt.Errorf("close %s: %w", c.name, err))
		}
	}
	a.cleanups = nil
	return errors.Join(errs...)
}
