// Package auth authenticates requests and authorizes them by role: bearer tokens for programs, sessions for users of
// the review page.
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

// Auth holds the tokens and the ways to sign in. Tokens are compared by their hashes, in constant time. It is safe for
// concurrent use.
type Auth struct {
	cfg      config.Auth
	tokens   atomic.Pointer[[]holder]
	grants   atomic.Pointer[grants]
	proxies  []netip.Prefix
	sso      *sso    // nil: off
	signed   *signed // nil: off
	sessions Sessions
	failures *failures
	visits   *limit.Table
	guesses  *limit.Table
	refusals *limit.Refusals
	senders  []string // origins whose pages may send calls
	origin   *http.CrossOriginProtection
	log      *slog.Logger
	now      func() time.Time
}

// Sessions stores the signed-in users of all nodes. *store.Store implements it.
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

// implied maps a role to the roles that it includes.
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

// New returns an Auth with the tokens of the configuration and of the environment. Without tokens and without another
// way to sign in, every request has every role. New refuses that configuration unless the server only listens on
// loopback.
func New(cfg config.Config, tokens Tokens) (*Auth, error) {
	a := &Auth{
		cfg:      cfg.Auth,
		failures: newFailures(),
		visits:   limit.NewTable(1, visitsAtOnce),
		guesses:  limit.NewTable(guessesInASecond, guessesAtOnce),
		senders:  cfg.WebRTC.Origins,
		origin:   http.NewCrossOriginProtection(),
		log:      slog.New(slog.DiscardHandler),
		now:      time.Now,
	}
	holders, err := holdersOf(cfg.Auth, tokens)
	if err != nil {
		return nil, err
	}
	a.tokens.Store(&holders)
	a.grants.Store(grantsOf(cfg.Auth))
	for _, p := range cfg.Auth.TrustedProxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			return nil, fmt.Errorf("auth.trusted_proxies: %w", err)
		}
		if network.Addr().Is4In6() && network.Bits() >= 96 {
			network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96) // peers are compared in this form
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

// holdersOf returns the holders of all tokens.
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

// grants are the roles of the users of single sign-on and of a proxy.
type grants struct {
	groups      []config.Group
	oidc, proxy []string // of all users
}

func grantsOf(cfg config.Auth) *grants {
	return &grants{groups: cfg.Groups, oidc: cfg.OIDC.Roles, proxy: cfg.Proxy.Roles}
}

// Renew prepares new tokens and roles, and returns a function that activates them. Sessions of removed tokens, and of users
// without a role, end then. Turning authentication on or off needs a restart.
func (a *Auth) Renew(cfg config.Config, tokens Tokens) (use func(), err error) {
	holders, err := holdersOf(cfg.Auth, tokens)
	if err != nil {
		return nil, err
	}
	if (len(holders) == 0) != (len(a.holders()) == 0) {
		return nil, errors.New(
			"auth.tokens: adding the first token or removing the last one needs a restart (hint: restart callscreen)",
		)
	}
	return func() {
		a.tokens.Store(&holders)
		a.grants.Store(grantsOf(cfg.Auth))
	}, nil
}

// Keep enables sessions and sets their storage. Without it only tokens are accepted.
func (a *Auth) Keep(sessions Sessions, log *slog.Logger) {
	a.sessions = sessions
	if log != nil {
		a.log = log
	}
}

// Off reports whether authentication is off: every request has every role.
func (a *Auth) Off() bool {
	return len(a.holders()) == 0 && a.sso == nil && a.signed == nil && a.cfg.Proxy.UserHeader == ""
}

// holder returns the identity that a token belongs to.
func (a *Auth) holder(token string) (who Identity, source string, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for _, h := range a.holders() { // all of them, for constant time
		if subtle.ConstantTimeCompare(hash[:], h.hash[:]) == 1 {
			who, ok = Identity{Name: h.name, Roles: append(who.Roles, h.roles...)}, true // several roles can share a token
			source = sourceOf(h)
		}
	}
	return who, source, ok
}

// rolesOf returns the roles of a user: those of the groups, and those that all users of this sign-in method have.
func (g *grants) rolesOf(groups, all []string) []string {
	roles := withImplied(all)
	for _, g := range g.groups {
		for _, name := range groups {
			if g.Group == name {
				roles = append(roles, withImplied(g.Roles)...)
			}
		}
	}
	return roles
}
