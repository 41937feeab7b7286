package auth

import (
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"callscreen/internal/limit"
)

// failures slows down those who try to guess: after ten attempts that failed an address may make one every six seconds,
// and all together ten a second.
type failures struct {
	all  *rate.Limiter
	each *limit.Table
}

const (
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	visitsAtOnce   = 60 // of one address to the pages where people sign in, whatever comes of it, and one more each second
)

func newFailures() *failures {
	return &failures{all: rate.NewLimiter(10, 100), each: limit.NewTable(rate.Every(failureEvery), failuresAtOnce)}
}

// wait is how long an address has to wait before it may try again, 0 if it may now.
func (f *failures) wait(addr netip.Addr, now time.Time) time.Duration {
	if f.each.Of(addr, now).TokensAt(now) < 1 {
		return failureEvery
	}
	if f.all.TokensAt(now) < 1 {
		return time.Second
	}
	return 0
}

// note counts an attempt that failed.
func (f *failures) note(addr netip.Addr, now time.Time) {
	f.each.Allow(addr, now)
	f.all.AllowN(now, 1)
}

// visit bounds how often an address may begin to sign in: that writes into the database, or asks the provider.
func (a *Auth) visit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.visits.Allow(a.client(r), a.now()) {
			w.Header().Set("Retry-After", "1")
			deny(w, r, http.StatusTooManyRequests, "Too many attempts to sign in come from your address. Wait a moment.")
			return
		}
		next(w, r)
	}
}

// Client is the address that a request comes from, past our own proxies.
func (a *Auth) Client(r *http.Request) netip.Addr { return a.client(r) }
