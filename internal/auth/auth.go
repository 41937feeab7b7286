// Package auth knows who may do what: bearer tokens and the roles they carry.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"

	"callscreen/internal/config"
	"callscreen/internal/problem"
)

// Tokens are the ones that the environment gives, by role.
type Tokens map[string]config.Secret

// ReadTokens takes CALLSCREEN_INGEST_TOKEN and its like, or the same with _FILE, from the environment.
func ReadTokens(environ []string) (Tokens, error) {
	t := Tokens{}
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		for role, variable := range map[string]string{"ingest": "CALLSCREEN_INGEST_TOKEN", "reviewer": "CALLSCREEN_REVIEW_TOKEN", "admin": "CALLSCREEN_ADMIN_TOKEN"} {
			switch name {
			case variable:
				t[role] = config.Secret(strings.TrimSpace(value))
			case variable + "_FILE":
				data, err := os.ReadFile(value)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				t[role] = config.Secret(strings.TrimSpace(string(data)))
			}
		}
	}
	for role, v := range t {
		if v == "" {
			return nil, fmt.Errorf("the %s token is empty (hint: unset the variable, or give it a value)", role)
		}
	}
	return t, nil
}

// Auth knows who may do what. Tokens are compared by their hashes, in constant time. It is safe for concurrent use.
type Auth struct{ holders []holder }

type holder struct {
	name  string
	hash  [32]byte
	roles []string
}

// implied are the roles that a role brings along.
var implied = map[string][]string{"admin": {"admin", "reviewer", "viewer", "ingest"}, "reviewer": {"reviewer", "viewer"}, "viewer": {"viewer"}, "ingest": {"ingest"}}

// New takes the tokens of a configuration and of the environment. Without any, everybody may do everything, which is
// refused where others than this machine can connect.
func New(cfg config.Config, tokens Tokens) (*Auth, error) {
	a := &Auth{}
	for role, token := range tokens {
		a.holders = append(a.holders, holder{name: role, hash: sha256.Sum256([]byte(token.Reveal())), roles: implied[role]})
	}
	for _, t := range cfg.Auth.Tokens {
		h := holder{name: t.Name}
		sum, err := hex.DecodeString(t.SHA256)
		if err != nil || copy(h.hash[:], sum) != 32 {
			return nil, fmt.Errorf("auth.tokens: %s has no valid hash", t.Name)
		}
		for _, r := range t.Roles {
			h.roles = append(h.roles, implied[r]...)
		}
		a.holders = append(a.holders, h)
	}
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(host)
	if local := host == "localhost" || ip != nil && ip.IsLoopback(); !local && len(a.holders) == 0 {
		return nil, errors.New("listen is not a loopback address and no authentication is configured: anybody could send and see calls (hint: set CALLSCREEN_INGEST_TOKEN and CALLSCREEN_REVIEW_TOKEN, or listen on 127.0.0.1)")
	}
	return a, nil
}

// Off tells whether everybody may do everything.
func (a *Auth) Off() bool { return len(a.holders) == 0 }

// holder is who a token belongs to.
func (a *Auth) holder(token string) (who Identity, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for _, h := range a.holders { // all of them, whether one fits or not
		if subtle.ConstantTimeCompare(hash[:], h.hash[:]) == 1 {
			who, ok = Identity{Name: h.name, Roles: append(who.Roles, h.roles...)}, true // two roles may share a token
		}
	}
	return who, ok
}

// Ingest is for the WHIP server: nil where everybody may send.
func (a *Auth) Ingest() func(token string) (string, bool) {
	if a.Off() {
		return nil
	}
	return func(token string) (string, bool) {
		who, ok := a.holder(token)
		return who.Name, ok && who.Has("ingest")
	}
}

// Require lets a request pass whose token has a role.
func (a *Auth) Require(role string, next http.HandlerFunc) http.HandlerFunc {
	if a.Off() {
		return next
	}
	return func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "bearer") {
			w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
			problem.Write(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		who, ok := a.holder(strings.TrimSpace(token))
		if !ok || !who.Has(role) {
			problem.Write(w, http.StatusForbidden, "the token is not good for this (needed: "+role+")")
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, who)))
	}
}
