package auth

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"callscreen/internal/problem"
)

// Require lets a request pass whose sender has a role: by a bearer token, by the word of a proxy, or by a session. A
// browser that brings along by itself who somebody is may be asked to by any page; so what changes something must then
// come from our own.
func (a *Auth) Require(role string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.Off() {
			if err := a.fromHere(r); err != nil {
				deny(w, r, http.StatusForbidden, err.Error())
				return
			}
			next(w, r)
			return
		}
		if token, ok := bearer(r); ok {
			who, ok := a.holder(token)
			if !ok || !who.Has(role) {
				problem.Write(w, http.StatusForbidden, "the token is not good for this (needed: "+role+")")
				return
			}
			next(w, with(r, who))
			return
		}
		who, err := a.person(w, r)
		switch {
		case errors.Is(err, errNobody):
			a.askToSignIn(w, r)
		case err != nil:
			a.log.Error("it could not be looked up who is signed in", "error", err)
			w.Header().Set("Retry-After", "5")
			deny(w, r, http.StatusServiceUnavailable, "the database does not answer (hint: see /readyz)")
		case !who.Has(role):
			denyTo(w, r, http.StatusForbidden, "you may not do this (needed: "+role+")", who)
		default:
			if err := a.origin.Check(r); err != nil {
				deny(w, r, http.StatusForbidden, "this must come from a page of callscreen itself")
				return
			}
			next(w, with(r, who))
		}
	}
}

// RequireSender lets those in who may send the call and the leg that the path names: with the role ingest, or with a signed
// token that is good for them.
func (a *Auth) RequireSender(next http.HandlerFunc) http.HandlerFunc {
	ingest := a.Require("ingest", next)
	return func(w http.ResponseWriter, r *http.Request) {
		token, ok := bearer(r)
		if _, fixed := a.holder(token); a.Off() || !ok || fixed {
			ingest(w, r)
			return
		}
		who, ok := a.sender(r.Context(), token)
		if !ok || !who.may(r.PathValue("call"), r.PathValue("leg")) {
			problem.Write(w, http.StatusForbidden, "the token is not good for this (needed: ingest, or a signed token for this call and leg)")
			return
		}
		next(w, with(r, Identity{Name: who.Name}))
	}
}

// bearer is the token that a request presents.
func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), strings.EqualFold(scheme, "bearer")
}

func with(r *http.Request, who Identity) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), whoKey{}, who))
}

var errNobody = errors.New("nobody is signed in")

// person is who sends a request, without a token. It is errNobody if that is not known.
func (a *Auth) person(w http.ResponseWriter, r *http.Request) (Identity, error) {
	if who, ok := a.byProxy(r); ok {
		return who, nil
	}
	return a.bySession(w, r)
}

// fromHere tells what is wrong with a request where everybody on this machine may do everything: a page of somebody else
// that a browser on this machine shows must not be able to, not even under a name that leads to this machine.
func (a *Auth) fromHere(r *http.Request) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if !loopback(strings.Trim(host, "[]")) {
		return errors.New("without authentication only this machine is served, as localhost or 127.0.0.1 (hint: set CALLSCREEN_REVIEW_TOKEN)")
	}
	if a.origin.Check(r) != nil {
		return errors.New("this must come from a page of callscreen itself")
	}
	return nil
}

// asksForPage tells whether a browser asks for a person.
func asksForPage(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html") && !strings.HasPrefix(r.URL.Path, "/api/")
}

func (a *Auth) askToSignIn(w http.ResponseWriter, r *http.Request) {
	switch {
	case !asksForPage(r) || a.sessions == nil:
		w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
		problem.Write(w, http.StatusUnauthorized, "a bearer token is needed")
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		http.Redirect(w, r, "/login?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
	default:
		deny(
			w,
			r,
			http.StatusUnauthorized,
			"You have been signed out. Sign in in another tab, go back here, and send it again: what you wrote is still in the form.",
		)
	}
}

// deny refuses a request, as a page to a browser.
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
