package app

import (
	"context"
	"sync"

	"callscreen/internal/hook"
	"callscreen/internal/outbound"
)

// hooks is the dispatcher of webhooks, which is replaced when others are to be told. What waits is in the database, so
// that nothing is lost between two of them.
type hooks struct {
	mu                      sync.Mutex
	now                     *hook.Dispatcher
	replaced                chan struct{}
	delivered, failed, dead int64 // by those before
}

func newHooks(d *hook.Dispatcher) *hooks { return &hooks{now: d, replaced: make(chan struct{}, 1)} }

func (a *App) dispatcher(endpoints []hook.Endpoint, allow outbound.List) *hook.Dispatcher {
	return hook.NewDispatcher(hook.Config{
		Store:     a.store,
		Endpoints: endpoints,
		Allow:     allow,
		Observe:   a.told,
		Log:       a.opt.Log,
	})
}

func (h *hooks) current() *hook.Dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// replace puts another dispatcher in the place of the one that runs, which finishes what it has begun.
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

// counts are those of all dispatchers since the start.
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
