package screen

import (
	"context"
	"time"

	"github.com/riverqueue/river"
)

// waitForTurn waits until the rate limit allows a submission.
func (w *Worker) waitForTurn(ctx context.Context) error {
	if w.cfg.Interval <= 0 {
		return nil
	}
	wait, ok, err := w.cfg.Store.Reserve(ctx, "submit", w.cfg.Interval, slotWait)
	if err != nil {
		return err
	}
	if !ok {
		return later(time.Second)
	}
	if err := w.pause(ctx, wait); err != nil {
		return err
	}
	if !w.cfg.Lease.Held() {
		return later(time.Second)
	}
	return nil
}

// pause waits, but returns at once when the program stops.
func (w *Worker) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.stopping:
		return river.JobSnooze(0)
	case <-ctx.Done():
		return river.JobSnooze(0)
	}
}
