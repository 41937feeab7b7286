package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callscreen/internal/store"
)

// A session is 256 random bits in a cookie, and a row with their hash in the database that all nodes share. Signing out
// is final on all nodes at once, read access to the database does not allow creating a session, and there is no key to
// share, rotate or lose, unlike signed cookies. The cost is one read by primary key per request.

const (
	cookieName = "callscreen"
	// touchEvery is the minimum interval between updates of the last use of a session.
	touchEvery = time.Minute
	// BackgroundHeader marks requests that a page makes without user action. They do not extend a session.
	BackgroundHeader = "Callscreen-Background"
)

// cookie returns a cookie. Over TLS its name prefix keeps subdomains and plain connections from setting it (RFC
// 6265bis, 4.1.3).
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

// read returns the value of a cookie, or "".
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

// begin signs a user in. The session id is always new, so that it cannot be fixed in advance.
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
	a.log.Info("user signed in", "name", who.Name, "by", strings.Split(source, ":")[0], "from", a.client(r))
	return nil
}

// bySession returns the signed-in user, or errNotSignedIn.
func (a *Auth) bySession(w http.ResponseWriter, r *http.Request) (Identity, error) {
	id := a.read(r, cookieName)
	if id == "" || a.sessions == nil {
		return Identity{}, errNotSignedIn
	}
	ctx, hash, now := r.Context(), hashOf(id), a.now()
	s, err := a.sessions.Session(ctx, hash)
	if errors.Is(err, store.ErrNotFound) {
		return Identity{}, errNotSignedIn
	}
	if err != nil {
		return Identity{}, err
	}
	who := Identity{Name: s.Name, Session: true}
	if !now.Before(s.ExpiresAt) || now.Sub(s.SeenAt) >= a.cfg.Session.Idle || !a.stands(s.Source, &who) {
		http.SetCookie(w, a.cookie(r, cookieName, "", 0))
		if err := a.sessions.EndSession(ctx, hash); err != nil {
			return Identity{}, err
		}
		return Identity{}, errNotSignedIn
	}
	if now.Sub(s.SeenAt) >= touchEvery && !background(r) {
		if err := a.sessions.TouchSession(context.WithoutCancel(ctx), hash, now); err != nil {
			return Identity{}, err
		}
	}
	return who, nil
}

// background reports whether a page makes the request without user action.
func background(r *http.Request) bool {
	return r.Header.Get(BackgroundHeader) != "" || r.URL.Path == "/api/v1/events"
}

// A source is the credential of a session: its roles are derived from it at each request. It begins with the method.
const sourceOIDC = "oidc:"

func sourceOf(h holder) string { return fmt.Sprintf("token:%x", h.hash[:8]) }

// sourceOfGroups returns the source of a user of single sign-on.
func sourceOfGroups(groups []string) (string, error) {
	data, err := json.Marshal(groups)
	if err == nil && len(data) > mostGroups {
		err = fmt.Errorf("the user is in too many groups: their names take %d bytes (hint: let the provider send fewer)", len(data))
	}
	return sourceOIDC + string(data), err
}

// mostGroups bounds the groups of a session, in bytes.
const mostGroups = 64 << 10

// stands reports whether the credential of a session is still valid, and sets the roles that it has now. Removing a token or
// the roles of a group from the configuration ends the sessions.
func (a *Auth) stands(source string, who *Identity) bool {
	who.Roles = nil
	if list, ok := strings.CutPrefix(source, sourceOIDC); ok && a.sso != nil {
		var groups []string
		if json.Unmarshal([]byte(list), &groups) != nil {
			return false
		}
		grants := a.grants.Load()
		who.Roles = grants.rolesOf(groups, grants.oidc)
		return who.Has("viewer")
	}
	for _, h := range a.holders() {
		if sourceOf(h) == source {
			who.Roles = append(who.Roles, h.roles...)
		}
	}
	return len(who.Roles) > 0
}
