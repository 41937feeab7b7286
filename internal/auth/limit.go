package auth

import (
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"callscreen/internal/limit"
)

// failures limits guessing: after ten failed attempts an address has one attempt every six seconds, and all addresses
// together have ten per second.
type failures struct {
	all  *rate.Limiter
	each *limit.Table
}

const (
	failuresAtOnce = 10
	failureEvery   = 6 * time.Second
	visitsAtOnce   = 60 // burst of sign-in page visits per address; refilled by one per second
)

func newFailures() *failures {
	return &failures{all: rate.NewLimiter(10, 100), each: limit.NewTable(rate.Every(failureEvery), failuresAtOnce)}
}

// wait returns how long an address must wait before its next attempt, 0 if it may try now. Attempts from other addresses do not keep a
// valid token out.
func (f *failures) wait(addr netip.Addr, now time.Time, valid bool) time.Duration {
	if f.each.Of(addr, now).TokensAt(now) < 1 {
		return failureEvery
	}
	if !valid && f.all.TokensAt(now) < 1 {
		return time.Second
	}
	return 0
}

// note counts a failed attempt.
func (f *failures) note(addr netip.Addr, now time.Time) {
	f.each.Allow(addr, now)
	f.all.AllowN(now, 1)
}

// visit limits how often an address can start to sign in: each start writes to the database or contacts the provider.
func (a *Auth) visit(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !a.visits.Allow(a.client(r), a.now()) {
			w.Header().Set("Retry-After", "1")
			deny(w, r, http.StatusTooManyRequests, "Too many sign-in attempts from your address. Wait a moment.")
			return
		}
		next(w, r)
	}
}

// Client returns the address of the client of a request, behind trusted proxies.
func (a *Auth) Client(r *http.Request) netip.Addr { return a.client(r) }
