package limit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Table has a rate for each address. It remembers so many and no more: those beyond share one. It is safe for
// concurrent use.
type Table struct {
	limit rate.Limit
	burst int

	mu    sync.Mutex
	each  map[netip.Prefix]*rate.Limiter
	other *rate.Limiter // of all addresses that there is no room for
	swept time.Time
}

const (
	mostAddresses = 10_000
	sweepEvery    = time.Second
)

// NewTable lets each address do something so often, and burst times at once.
func NewTable(limit rate.Limit, burst int) *Table {
	return &Table{limit: limit, burst: burst, each: map[netip.Prefix]*rate.Limiter{}, other: rate.NewLimiter(limit, burst)}
}

// Of is the rate of an address. Of IPv6 whole networks count, for everybody has one.
func (t *Table) Of(addr netip.Addr, now time.Time) *rate.Limiter {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the zero prefix for an address that is not known
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.each[network]; l != nil {
		return l
	}
	if len(t.each) >= mostAddresses && now.Sub(t.swept) >= sweepEvery {
		t.swept = now
		for k, l := range t.each {
			if l.TokensAt(now) >= float64(t.burst) { // as if it were new
				delete(t.each, k)
			}
		}
	}
	if len(t.each) >= mostAddresses {
		return t.other
	}
	l := rate.NewLimiter(t.limit, t.burst)
	t.each[network] = l
	return l
}

// Allow tells whether an address may do it once more now.
func (t *Table) Allow(addr netip.Addr, now time.Time) bool { return t.Of(addr, now).AllowN(now, 1) }

// Len is how many addresses are remembered.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.each)
}
