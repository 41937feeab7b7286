// Package auth knows who may do what: bearer tokens for programs, sessions for people at the page, and the roles they
// carry.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"callscreen/internal/config"
	"callscreen/internal/limit"
	"callscreen/internal/store"
)

// Auth knows who may do what. Tokens are compared by their hashes, in constant time. It is safe for concurrent use.
type Auth struct {
	cfg      config.Auth
	tokens   atomic.Pointer[[]holder]
	proxies  []netip.Prefix
	sso      *sso    // nil: off
	signed   *signed // nil: off
	sessions Sessions
	failures *failures
	visits   *limit.Table
	origin   *http.CrossOriginProtection
	log      *slog.Logger
	now      func() time.Time
}

// Sessions is where it is kept who is signed in, for all nodes. *store.Store is one.
type Sessions interface {
	SaveSession(ctx context.Context, s store.Session, idle time.Time) error
	Session(ctx context.Context, hash string) (store.Session, error)
	TouchSession(ctx context.Context, hash string, at time.Time) error
	EndSession(ctx context.Context, hash string) error
}

type holder struct {
	name  string
	hash  [32]byte
	roles []string
}

// implied are the roles that a role brings along.
var implied = map[string][]string{
	"admin":    {"admin", "reviewer", "viewer", "ingest"},
	"reviewer": {"reviewer", "viewer"},
	"viewer":   {"viewer"},
	"ingest":   {"ingest"},
}

func withImplied(roles []string) (all []string) {
	for _, r := range roles {
		all = append(all, implied[r]...)
	}
	return all
}

// New takes the tokens of a configuration and of the environment. Without any, and without another way to sign in,
// everybody may do everything, which is refused where others than this machine can connect.
func New(cfg config.Config, tokens Tokens) (*Auth, error) {
	a := &Auth{
		cfg:      cfg.Auth,
		failures: newFailures(),
		visits:   limit.NewTable(1, visitsAtOnce),
		origin:   http.NewCrossOriginProtection(),
		log:      slog.New(slog.DiscardHandler),
		now:      time.Now,
	}
	holders, err := holdersOf(cfg.Auth, tokens)
	if err != nil {
		return nil, err
	}
	a.tokens.Store(&holders)
	for _, p := range cfg.Auth.TrustedProxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("auth.trusted_proxies: %w", err)
		}
		a.proxies = append(a.proxies, network)
	}
	if cfg.Auth.OIDC.Issuer != "" {
		a.sso = newSSO(cfg.Auth.OIDC)
	}
	if cfg.Auth.JWT.On() {
		a.signed = newSigned(cfg.Auth.JWT)
	}
	if err := a.checkListen(cfg); err != nil {
		return nil, err
	}
	return a, nil
}

// holdersOf are all whose tokens are known.
func holdersOf(cfg config.Auth, tokens Tokens) (list []holder, err error) {
	for role, token := range tokens {
		list = append(list, holder{name: role, hash: sha256.Sum256([]byte(token.Reveal())), roles: implied[role]})
	}
	for _, t := range cfg.Tokens {
		h := holder{name: t.Name, roles: withImplied(t.Roles)}
		sum, err := hex.DecodeString(t.SHA256)
		if err != nil || copy(h.hash[:], sum) != 32 {
			return nil, fmt.Errorf("auth.tokens: %s has no valid hash", t.Name)
		}
		list = append(list, h)
	}
	return list, nil
}

func (a *Auth) holders() []holder { return *a.tokens.Load() }

// Renew prepares other tokens, and returns what puts them in force. Sessions of tokens that are gone end with that. To
// turn authentication on or off takes a new start.
func (a *Auth) Renew(cfg config.Config, tokens Tokens) (use func(), err error) {
	holders, err := holdersOf(cfg.Auth, tokens)
	if err != nil {
		return nil, err
	}
	if (len(holders) == 0) != (len(a.holders()) == 0) {
		return nil, errors.New(
			"auth.tokens: the first token cannot be added, nor the last one taken away, while the program runs (hint: start it again)",
		)
	}
	return func() { a.tokens.Store(&holders) }, nil
}

// Keep lets people sign in at the page, and says where that is kept. Without it only tokens count.
func (a *Auth) Keep(sessions Sessions, log *slog.Logger) {
	a.sessions = sessions
	if log != nil {
		a.log = log
	}
}

// Off tells whether everybody may do everything.
func (a *Auth) Off() bool {
	return len(a.holders()) == 0 && a.sso == nil && a.signed == nil && a.cfg.Proxy.UserHeader == ""
}

// holder is who a token belongs to.
func (a *Auth) holder(token string) (who Identity, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for _, h := range a.holders() { // all of them, whether one fits or not
		if subtle.ConstantTimeCompare(hash[:], h.hash[:]) == 1 {
			who, ok = Identity{Name: h.name, Roles: append(who.Roles, h.roles...)}, true // two roles may share a token
		}
	}
	return who, ok
}

// rolesOf are the roles of somebody who is in groups, besides those that everybody has who comes the same way.
func (a *Auth) rolesOf(groups, everybody []string) []string {
	roles := withImplied(everybody)
	for _, g := range a.cfg.Groups {
		for _, name := range groups {
			if g.Group == name {
				roles = append(roles, withImplied(g.Roles)...)
			}
		}
	}
	return roles
}
