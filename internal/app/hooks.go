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
	retired                 map[*hook.Dispatcher]bool // whose last requests are under way
	replaced                chan struct{}
	delivered, failed, dead int64 // of dispatchers that have ended
}

func newHooks(d *hook.Dispatcher) *hooks {
	return &hooks{now: d, retired: map[*hook.Dispatcher]bool{}, replaced: make(chan struct{}, 1)}
}

func (a *App) dispatcher(endpoints []hook.Endpoint, allow outbound.List) *hook.Dispatcher {
	return hook.NewDispatcher(hook.Config{
		Store:     a.store,
		Endpoints: endpoints,
		Allow:     allow,
		Observe:   a.told,
		Due:       a.store.Due,
		Held:      a.lease.Held,
		Log:       a.opt.Log,
	})
}

func (h *hooks) current() *hook.Dispatcher {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// replace puts another dispatcher in force. The requests of the running one end by themselves: cut off, they would be sent
// again after their lease.
func (h *hooks) replace(d *hook.Dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now.Retire()
	h.retired[h.now] = true
	h.now = d
	select {
	case h.replaced <- struct{}{}:
	default:
	}
}

// ended adds the counts of a retired dispatcher to the sums.
func (h *hooks) ended(d *hook.Dispatcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.retired[d] {
		delete(h.retired, d)
		delivered, failed, dead := d.Counts()
		h.delivered, h.failed, h.dead = h.delivered+delivered, h.failed+failed, h.dead+dead
	}
}

// counts returns sums over all dispatchers since the start.
func (h *hooks) counts() (delivered, failed, dead int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delivered, failed, dead = h.now.Counts()
	for d := range h.retired {
		a, b, c := d.Counts()
		delivered, failed, dead = delivered+a, failed+b, dead+c
	}
	return h.delivered + delivered, h.failed + failed, h.dead + dead
}

// run delivers until the context ends.
func (h *hooks) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	var started *hook.Dispatcher
	for {
		if d := h.current(); d != started {
			started = d
			running.Go(func() { d.Run(ctx); h.ended(d) })
		}
		select {
		case <-h.replaced:
		case <-ctx.Done():
			return
		}
	}
}
