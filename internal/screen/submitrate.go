package screen

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"callscreen/internal/store"
)

// waitForTurn waits until the rate limit allows a submission. Only the first segments of legs reserve a turn long before it comes:
// the workers of a backlog would take all turns from a live call that begins.
func (w *Worker) waitForTurn(ctx context.Context, priority int) error {
	if w.cfg.Interval <= 0 {
		return nil
	}
	ahead := slotWait
	if !store.Urgent(priority) {
		ahead = min(max(w.cfg.Interval, time.Second), slotWait)
	}
	wait, ok, err := w.cfg.Store.Reserve(ctx, "submit", w.cfg.Interval, ahead)
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
