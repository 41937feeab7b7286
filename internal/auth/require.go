package auth

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"callscreen/internal/problem"
)

// Require accepts requests whose sender has a role, by a bearer token, a trusted proxy or a session. Sessions and
// proxies authenticate a browser on requests from any site. Such a request must therefore come from this server's own
// pages if it changes something.
func (a *Auth) Require(role string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.Off() {
			next(w, r)
			return
		}
		if token, ok := bearer(r); ok {
			who, _, ok := a.holder(token)
			if !ok {
				a.guessed(r.Context())
			}
			if !ok || !who.Has(role) {
				problem.Write(w, http.StatusForbidden, "the token lacks the role "+role+"")
				return
			}
			next(w, with(r, who))
			return
		}
		who, err := a.person(w, r)
		switch {
		case errors.Is(err, errNotSignedIn):
			a.askToSignIn(w, r)
		case err != nil:
			a.log.Error("reading session failed", "error", err)
			w.Header().Set("Retry-After", "5")
			deny(w, r, http.StatusServiceUnavailable, "the database does not answer (hint: see /readyz)")
		case !who.Has(role):
			denyTo(w, r, http.StatusForbidden, "the role "+role+" is required", who)
		default:
			if err := a.origin.Check(r); err != nil {
				deny(w, r, http.StatusForbidden, "cross-origin request refused")
				return
			}
			next(w, with(r, who))
		}
	}
}

// RequireSender accepts requests about the leg of the path from programs that send calls, from holders of a signed token for
// that call and leg, and from reviewers. The handler decides by [SenderFrom] whether the program is the sender of the leg.
func (a *Auth) RequireSender(next http.HandlerFunc) http.HandlerFunc {
	reviewer := a.Require("reviewer", next)
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r)
		who, _, fixed := a.holder(token)
		switch {
		case a.Off() || !ok:
			reviewer(w, r)
			return
		case fixed && !who.Has("ingest"):
			reviewer(w, r)
			return
		case fixed:
			next(w, withSender(with(r, who), Sender{Name: who.Name}))
			return
		}
		sender, ok := a.sender(r.Context(), token)
		if !ok || !sender.may(r.PathValue("call"), r.PathValue("leg")) {
			problem.Write(w, http.StatusForbidden, "the token is not valid for this call and leg (required: role ingest, or a signed "+
				"token for the call and leg)")
			return
		}
		next(w, withSender(with(r, Identity{Name: sender.Name}), sender))
	}
}

type senderKey struct{}

func withSender(r *http.Request, s Sender) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), senderKey{}, s))
}

// SenderFrom returns the sender of calls behind a request that RequireSender has accepted. It returns false for a person,
// and while authentication is off.
func SenderFrom(ctx context.Context) (Sender, bool) {
	s, ok := ctx.Value(senderKey{}).(Sender)
	return s, ok
}

// bearer returns the bearer token of a request.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer")
}

func with(r *http.Request, who Identity) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), whoKey{}, who))
}

var errNotSignedIn = errors.New("not signed in")

// person returns the sender of a request without a token. It returns errNotSignedIn if the request has no valid session.
func (a *Auth) person(w http.ResponseWriter, r *http.Request) (Identity, error) {
	if who, ok := a.byProxy(r); ok {
		return who, nil
	}
	return a.bySession(w, r)
}

// asksForPage reports whether the client is a browser that wants a page.
func asksForPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/")
}

func (a *Auth) askToSignIn(w http.ResponseWriter, r *http.Request) {
	switch {
	case !asksForPage(r) || a.sessions == nil:
		w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
		problem.Write(w, http.StatusUnauthorized, "a bearer token is required")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		http.Redirect(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
	default:
		deny(
			w,
			r,
			http.StatusUnauthorized,
			"Your session has ended. Sign in in another tab, then submit this form again. Your text is still in the form.",
		)
	}
}

// deny refuses a request: with a page for a browser, with a problem body otherwise.
func deny(w http.ResponseWriter, r *http.Request, status int, why string) {
	denyTo(w, r, status, why, Identity{})
}

func denyTo(w http.ResponseWriter, r *http.Request, status int, why string, who Identity) {
	if !asksForPage(r) {
		problem.Write(w, status, why)
		return
	}
	showPage(w, status, "denied", pageView{Title: http.StatusText(status), Problem: why, Who: who.Name, SignedIn: who.Session})
}
