package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callscreen/internal/store"
)

// A session is 256 random bits in a cookie, and a row under their hash in the database that all nodes share. That way
// signing out is final everywhere and at once, nobody who can read the database can make a session, and there is no key
// to share, rotate or lose, as there would be with signed cookies. It costs one read by primary key for each request.

const (
	cookieName = "callscreen"
	// touchEvery is how often the use of a session is written down at the most.
	touchEvery = time.Minute
	// BackgroundHeader marks requests that a page makes by itself. They keep nobody signed in.
	BackgroundHeader = "Callscreen-Background"
)

// cookie is one of ours. Over TLS its name keeps subdomains and plain connections from setting it (RFC 6265bis, 4.1.3).
func (a *Auth) cookie(r *http.Request, name, value string, maxAge time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name:     name,
		Value:    value,
		Path:     "/",
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(maxAge.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	if a.secure(r) {
		c.Name, c.Secure = "__Host-"+name, true
	}
	return c
}

// read is the value of a cookie of ours, "" if there is none.
func (a *Auth) read(r *http.Request, name string) string {
	if a.secure(r) {
		name = "__Host-" + name
	}
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}

func hashOf(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}

// begin signs somebody in: with a new id always, so that nobody can have foreseen it.
func (a *Auth) begin(w http.ResponseWriter, r *http.Request, who Identity, source string) error {
	ctx, now := r.Context(), a.now()
	if old := a.read(r, cookieName); old != "" {
		if err := a.sessions.EndSession(ctx, hashOf(old)); err != nil {
			return err
		}
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	id := base64.RawURLEncoding.EncodeToString(random[:])
	s := store.Session{
		Hash:      hashOf(id),
		Name:      who.Name,
		Roles:     who.Roles,
		Source:    source,
		CreatedAt: now,
		SeenAt:    now,
		ExpiresAt: now.Add(a.cfg.Session.Max),
	}
	if err := a.sessions.SaveSession(ctx, s, now.Add(-a.cfg.Session.Idle)); err != nil {
		return err
	}
	http.SetCookie(w, a.cookie(r, cookieName, id, a.cfg.Session.Max))
	a.log.Info("somebody has signed in", "name", who.Name, "by", strings.Split(source, ":")[0], "from", a.client(r))
	return nil
}

// bySession is who is signed in. It is errNobody if nobody is.
func (a *Auth) bySession(w http.ResponseWriter, r *http.Request) (Identity, error) {
	id := a.read(r, cookieName)
	if id == "" || a.sessions == nil {
		return Identity{}, errNobody
	}
	ctx, hash, now := r.Context(), hashOf(id), a.now()
	s, err := a.sessions.Session(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return Identity{}, errNobody
	}
	if err != nil {
		return Identity{}, err
	}
	who := Identity{Name: s.Name, Roles: s.Roles, Session: true}
	if !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= a.cfg.Session.Idle || !a.stands(s.Source, &who) {
		http.SetCookie(w, a.cookie(r, cookieName, "", 0))
		if err := a.sessions.EndSession(ctx, hash); err != nil {
			return Identity{}, err
		}
		return Identity{}, errNobody
	}
	if now.Sub(s.SeenAt) >= touchEvery && !background(r) {
		if err := a.sessions.TouchSession(context.WithoutCancel(ctx), hash, now); err != nil {
			return Identity{}, err
		}
	}
	return who, nil
}

// background tells whether a page makes a request by itself.
func background(r *http.Request) bool {
	return r.Header.Get(BackgroundHeader) != "" || r.URL.Path == "/api/v1/events"
}

// The ways to sign in.
const sourceOIDC = "oidc"

func sourceOf(h holder) string { return fmt.Sprintf("token:%x", h.hash[:8]) }

// stands tells whether what a session began with still counts, and gives somebody with a token the roles that it has
// now. A token that was taken out of the configuration ends its sessions.
func (a *Auth) stands(source string, who *Identity) bool {
	if source == sourceOIDC {
		return a.sso != nil
	}
	who.Roles = nil
	for _, h := range a.holders() {
		if sourceOf(h) == source {
			who.Roles = append(who.Roles, h.roles...)
		}
	}
	return len(who.Roles) > 0
}
