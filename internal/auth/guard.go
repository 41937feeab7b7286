package auth

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"callscreen/internal/limit"
	"callscreen/internal/problem"
)

// Tokens that are not good are slowed down: after as many at once, an address has one attempt every two seconds. Fixed tokens that
// are good always pass, so that no client can shut out a sender behind the same address.
const (
	guessesAtOnce    = 20
	guessesInASecond = 0.5
)

type clientKey struct{}

// Guard serves the requests that next may judge: while authentication is off those of this machine, and otherwise those of clients
// that do not guess tokens. Every handler of a listener must be behind it.
func (a *Auth) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addr := a.client(r)
		r = r.WithContext(context.WithValue(r.Context(), clientKey{}, addr))
		if a.Off() {
			if err := a.fromHere(r); err != nil {
				deny(w, r, http.StatusForbidden, err.Error())
				return
			}
		} else if token, ok := bearer(r); ok && a.guesses.Of(addr, a.now()).TokensAt(a.now()) < 1 {
			if _, _, ok := a.holder(token); !ok {
				a.refusals.Note(limit.OfTokens, addr)
				w.Header().Set("Retry-After", "2")
				problem.Write(w, http.StatusTooManyRequests, "too many tokens that are not valid from your address")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// guessed counts a token that is not good.
func (a *Auth) guessed(ctx context.Context) {
	if addr, ok := ctx.Value(clientKey{}).(netip.Addr); ok {
		a.guesses.Allow(addr, a.now())
	}
}

// Report has refused clients counted and logged.
func (a *Auth) Report(r *limit.Refusals) { a.refusals = r }

// Trusted reports whether an address is that of a trusted proxy.
func (a *Auth) Trusted(addr netip.Addr) bool { return a.trusted(addr) }

// fromHere returns an error for a request from another site while authentication is off. A page of another site, shown
// by a browser on this machine, must not gain access, even under a DNS name that resolves to this machine.
func (a *Auth) fromHere(r *http.Request) error {
	if !loopback(hostOf(r.Host)) {
		return errors.New("without authentication only localhost and 127.0.0.1 are served (hint: set CALLSCREEN_REVIEW_TOKEN)")
	}
	if a.origin.Check(r) == nil || strings.HasPrefix(r.URL.Path, "/whip/") && a.sends(r.Header.Get("Origin")) {
		return nil
	}
	return errors.New("cross-origin request refused")
}

// sends reports whether the pages of an origin may send calls.
func (a *Auth) sends(origin string) bool {
	return origin != "" && (slices.Contains(a.senders, "*") || slices.Contains(a.senders, origin))
}
