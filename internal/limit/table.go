package limit

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Table limits the rate of each address. The number of addresses is bounded; further addresses share one limit. It is
// safe for concurrent use.
type Table struct {
	limit rate.Limit
	burst int

	mu    sync.Mutex
	each  map[netip.Prefix]*rate.Limiter
	other *rate.Limiter // shared by addresses beyond the bound
	swept time.Time
}

const (
	mostAddresses = 10_000
	sweepEvery    = time.Second
)

// NewTable returns a table with a rate and a burst per address.
func NewTable(limit rate.Limit, burst int) *Table {
	return &Table{limit: limit, burst: burst, each: map[netip.Prefix]*rate.Limiter{}, other: rate.NewLimiter(limit, burst)}
}

// Of returns the limiter of the client of an address.
func (t *Table) Of(addr netip.Addr, now time.Time) *rate.Limiter {
	network := Network(addr)
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.each[network]; l != nil {
		return l
	}
	if len(t.each) >= mostAddresses && now.Sub(t.swept) >= sweepEvery {
		t.swept = now
		for k, l := range t.each {
			if l.TokensAt(now) >= float64(t.burst) { // full again, same as new
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

// Allow reports whether an address is within its rate, and counts the request.
func (t *Table) Allow(addr netip.Addr, now time.Time) bool { return t.Of(addr, now).AllowN(now, 1) }

// Len returns the number of remembered addresses.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.each)
}
