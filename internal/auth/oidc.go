package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"callscreen/internal/address"
	"callscreen/internal/config"
)

// sso is single sign-on by OpenID Connect: the code flow with PKCE (RFC 7636), state and nonce.
type sso struct {
	cfg    config.OIDC
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // set after the first answer
}

const (
	ssoCookie  = "callscreen-oidc"
	ssoFor     = 10 * time.Minute // time limit for signing in at the provider
	ssoAnswers = 10 * time.Second // time limit for answers of the provider
)

func newSSO(cfg config.OIDC) *sso {
	return &sso{cfg: cfg, client: &http.Client{Timeout: ssoAnswers}}
}

// attempt is the state of a sign-in while the user is at the provider. It is stored in a cookie, so that any node can
// complete the sign-in.
type attempt struct {
	State    string `json:"s"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"`
	Next     string `json:"to"`
}

// ready fetches the metadata of the provider, once. An unreachable provider does not prevent the start.
func (s *sso) ready(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider == nil {
		p, err := oidc.NewProvider(s.context(ctx), s.cfg.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("fetch provider metadata: %w", address.Error(err))
		}
		s.provider = p
	}
	return s.provider, &oauth2.Config{
		ClientID:     s.cfg.ClientID,
		ClientSecret: s.cfg.ClientSecret.Reveal(),
		Endpoint:     s.provider.Endpoint(),
		RedirectURL:  s.cfg.RedirectURL,
		Scopes:       s.cfg.Scopes,
	}, nil
}

// context makes requests to the provider use this package's HTTP client.
func (s *sso) context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, s.client) }

// beginSSO redirects to the provider.
func (a *Auth) beginSSO(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	_, cfg, err := a.sso.ready(r.Context())
	if err != nil {
		a.log.Error("single sign-on provider unreachable", "error", err, "hint", "check auth.oidc.issuer and the network")
		a.showLogin(w, r, http.StatusServiceUnavailable, next, "The sign-on provider does not answer. Try again in a moment.")
		return
	}
	t := attempt{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Next: next}
	data, err := json.Marshal(t)
	if err != nil {
		a.showLogin(w, r, http.StatusInternalServerError, next, "Starting the sign-in failed.")
		return
	}
	http.SetCookie(w, a.cookie(r, ssoCookie, base64.RawURLEncoding.EncodeToString(data), ssoFor))
	http.Redirect(w, r, cfg.AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), http.StatusSeeOther)
}

// endSSO completes the sign-in of a user who returns from the provider.
func (a *Auth) endSSO(w http.ResponseWriter, r *http.Request) {
	t := attempt{Next: "/"}
	data, err := base64.RawURLEncoding.DecodeString(a.read(r, ssoCookie))
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	http.SetCookie(w, a.cookie(r, ssoCookie, "", 0)) // valid once
	if err != nil || t.State == "" || subtle.ConstantTimeCompare([]byte(t.State), []byte(r.URL.Query().Get("state"))) != 1 {
		a.showLogin(w, r, http.StatusBadRequest, safeNext(t.Next), "This sign-in was not started here, or took too long. Try again.")
		return
	}
	next := safeNext(t.Next)
	who, err := a.sso.identify(r.Context(), t, r)
	if err != nil {
		a.log.Warn("single sign-on failed", "from", a.client(r), "error", err)
		a.showLogin(w, r, http.StatusForbidden, next, "The sign-in failed. The reason is in the log of callscreen.")
		return
	}
	grants := a.grants.Load()
	person := Identity{Name: who.name, Roles: grants.rolesOf(who.groups, grants.oidc)}
	if !person.Has("viewer") {
		a.log.Warn(
			"single sign-on refused, user has no role",
			"name",
			who.name,
			"groups",
			who.groups,
			"hint",
			"see auth.groups and auth.oidc.roles",
		)
		a.showLogin(w, r, http.StatusForbidden, next, "You are signed in as "+who.name+", but none of your groups may view calls.")
		return
	}
	source, err := sourceOfGroups(who.groups)
	if err != nil {
		a.log.Warn("single sign-on refused", "name", who.name, "error", err)
		a.showLogin(w, r, http.StatusForbidden, next, "You are in too many groups. The reason is in the log of callscreen.")
		return
	}
	a.enter(w, r, person, source, next)
}

// claimed is the user according to the provider.
type claimed struct {
	name   string
	groups []string
}

// identify exchanges the code for an ID token and returns its user.
func (s *sso) identify(ctx context.Context, t attempt, r *http.Request) (who claimed, err error) {
	q := r.URL.Query()
	if e := q.Get("error"); e != "" {
		return who, fmt.Errorf("the provider reports %.100q: %.300q", e, q.Get("error_description"))
	}
	if iss := q.Get("iss"); iss != "" && iss != s.cfg.Issuer { // RFC 9207
		return who, fmt.Errorf("the answer names another issuer: %.200q", iss)
	}
	provider, cfg, err := s.ready(ctx)
	if err != nil {
		return who, err
	}
	ctx = s.context(ctx)
	token, err := cfg.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return who, fmt.Errorf("exchange code: %w", address.Error(err))
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return who, errors.New("the provider sent no ID token (hint: add openid to auth.oidc.scopes)")
	}
	id, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: s.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return who, address.Error(err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(t.Nonce)) != 1 {
		return who, errors.New("the nonce of the ID token does not match")
	}
	claims := map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return who, fmt.Errorf("read claims: %w", err)
	}
	if who.name, _ = claims[s.cfg.NameClaim].(string); !validName(who.name) {
		return who, fmt.Errorf("the ID token has no valid claim %s (hint: set auth.oidc.name_claim, or request another scope)", s.cfg.NameClaim)
	}
	if err := s.checkEmail(claims); err != nil {
		return who, err
	}
	if err := s.checkParty(id.Audience, claims); err != nil {
		return who, err
	}
	who.groups = texts(claims[s.cfg.GroupsClaim])
	return who, nil
}

// checkEmail refuses an address that the provider has not verified, if names or roles go by it: at many providers users set
// any address. A provider without the claim email_verified is only good for names, which the audit log shows.
func (s *sso) checkEmail(claims map[string]any) error {
	const email = "email"
	if s.cfg.NameClaim != email && s.cfg.GroupsClaim != email {
		return nil
	}
	verified, known := claims["email_verified"]
	switch {
	case verified == true || verified == "true": // some providers send text
		return nil
	case !known && s.cfg.GroupsClaim != email:
		return nil
	}
	return fmt.Errorf("the provider has not verified the email address %.200q (hint: claim email_verified)", claims[email])
}

// checkParty checks that the ID token was issued to this client (OpenID Connect Core 1.0, 3.1.3.7, 3 to 5).
func (s *sso) checkParty(audience []string, claims map[string]any) error {
	azp, known := claims["azp"]
	switch {
	case known && azp != s.cfg.ClientID:
		return fmt.Errorf("the ID token was issued to another client: azp is %.200q", fmt.Sprint(azp))
	case !known && len(audience) > 1:
		return errors.New("the ID token is for several clients and names none as the authorized party (azp)")
	}
	return nil
}

// texts returns a claim that is a list of strings or a single string.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				list = append(list, s)
			}
		}
	}
	return list
}

// CloseIdleConnections closes idle connections to providers.
func (a *Auth) CloseIdleConnections() {
	if a.sso != nil {
		a.sso.client.CloseIdleConnections()
	}
	if a.signed != nil && a.signed.keys != nil && a.signed.keys.client != nil {
		a.signed.keys.client.CloseIdleConnections()
	}
}
