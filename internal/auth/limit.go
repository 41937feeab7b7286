package auth

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// failures slows down those who try to guess: after ten attempts that failed an address may make one every six seconds,
// and all together ten a second.
type failures struct {
	mu    sync.Mutex
	all   *rate.Limiter
	each  map[netip.Prefix]*rate.Limiter
	other *rate.Limiter // of all addresses that there is no room for
}

const (
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	mostAddresses  = 10_000
)

func newFailures() *failures {
	return &failures{all: rate.NewLimiter(10, 100), each: map[netip.Prefix]*rate.Limiter{}, other: rate.NewLimiter(1, failuresAtOnce)}
}

// limiter is that of an address. Of IPv6 whole networks count, for everybody has one.
func (f *failures) limiter(addr netip.Addr, now time.Time) *rate.Limiter {
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the zero prefix for an address that is not known
	if l := f.each[network]; l != nil {
		return l
	}
	if len(f.each) >= mostAddresses {
		for k, l := range f.each {
			if l.TokensAt(now) >= failuresAtOnce {
				delete(f.each, k)
			}
		}
		if len(f.each) >= mostAddresses {
			return f.other
		}
	}
	l := rate.NewLimiter(rate.Every(failureEvery), failuresAtOnce)
	f.each[network] = l
	return l
}

// wait is how long an address has to wait before it may try again, 0 if it may now.
func (f *failures) wait(addr netip.Addr, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.limiter(addr, now).TokensAt(now) < 1 {
		return failureEvery
	}
	if f.all.TokensAt(now) < 1 {
		return time.Second
	}
	return 0
}

// note counts an attempt that failed.
func (f *failures) note(addr netip.Addr, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.limiter(addr, now).AllowN(now, 1)
	f.all.AllowN(now, 1)
}
