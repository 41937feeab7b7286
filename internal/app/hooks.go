package app

import (
	"context"
	"sync"

	"callscreen/internal/hook"
	"callscreen/internal/outbound"
)

// hooks holds the dispatcher of webhooks, which a reload replaces. Queued messages are in the database, so none is lost
// in between.
type hooks struct {
	mu                      sync.Mutex
	now                     *hook.Dispatcher
	replaced                chan struct{}
	delivered, failed, dead int64 // of earlier dispatchers
}

func newHooks(d *hook.Dispatcher) *hooks { return &hooks{now: d, replaced: make(chan struct{}, 1)} }

func (a *App) dispatcher(endpoints []hook.Endpoint, allow outbound.List) *hook.Dispatcher {
	return hook.NewDispatcher(hook.Config{
		Store:     a.store,
		Endpoints: endpoints,
		Allow:     allow,
		Observe:   a.told,
		Due:       a.store.Due,
		Log:       a.opt.Log,
	})
}

func (h *hooks) current() *hook.Dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// replace puts another dispatcher in force. The running one finishes what it has begun.
func (h *hooks) replace(d *hook.Dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delivered, failed, dead := h.now.Counts()
	h.delivered, h.failed, h.dead = h.delivered+delivered, h.failed+failed, h.dead+dead
	h.now = d
	select {
	case h.replaced <- struct{}{}:
	default:
	}
}

// counts returns sums over all dispatchers since the start.
func (h *hooks) counts() (delivered, failed, dead int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delivered, failed, dead = h.now.Counts()
	return h.delivered + delivered, h.failed + failed, h.dead + dead
}

// run delivers until the context ends.
func (h *hooks) run(ctx context.Context) {
	for ctx.Err() == nil {
		turn, end := context.WithCancel(ctx)
		var running sync.WaitGroup
		d := h.current()
		running.Go(func() { d.Run(turn) })
		select {
		case <-h.replaced:
		case <-ctx.Done():
		}
		end()
		running.Wait()
	}
}
