package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"callscreen/internal/config"
)

// signed verifies signed tokens, RFC 7519. The algorithm in a token only selects among the permitted ones, and each
// kind has its own keys: the secret for HS256, the public keys for the others. A public key is therefore never used as
// a secret (RFC 8725, 2.1 and 3.1).
type signed struct {
	cfg    config.JWT
	secret []byte
	keys   *keySet // nil without public keys
}

// mostToken is longer than any valid token, and short enough to parse for unauthenticated clients.
const mostToken = 8 << 10

var asymmetric = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

func newSigned(cfg config.JWT) *signed {
	s := &signed{cfg: cfg, secret: []byte(cfg.Secret.Reveal())}
	if cfg.JWKS != "" {
		s.keys = newKeySet(cfg.JWKS)
	}
	return s
}

// text is an optional string claim. null is an error, unlike a missing claim.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s == nil || *s == "" {
		return errors.New("a claim is empty")
	}
	*t = text(*s)
	return nil
}

// Limits of the claim metadata.
const (
	maxClaims = 32
	maxClaim  = 256 // bytes of a value
)

// claims are the private claims, besides the registered ones.
type claims struct {
	Call text `json:"call"`
	Leg  text `json:"leg"`
	// Metadata of the call. It outranks the query parameters.
	Metadata map[string]text `json:"metadata"`
}

// verify returns the sender of a token that is valid at a time.
func (s *signed) verify(ctx context.Context, token string, now time.Time) (Sender, error) {
	if len(token) > mostToken {
		return Sender{}, fmt.Errorf("the token has more than %d bytes", mostToken)
	}
	parsed, err := jwt.ParseSigned(token, s.algorithms())
	if err != nil {
		return Sender{}, err
	}
	if len(parsed.Headers) != 1 {
		return Sender{}, errors.New("the token must have exactly one signature")
	}
	var registered jwt.Claims
	var own claims
	if err := s.try(ctx, parsed.Headers[0], now, func(key any) error {
		registered, own = jwt.Claims{}, claims{}
		return parsed.Claims(key, &registered, &own)
	}); err != nil {
		return Sender{}, err
	}
	expected := jwt.Expected{Issuer: s.cfg.Issuer, Time: now}
	if s.cfg.Audience != "" {
		expected.AnyAudience = jwt.Audience{s.cfg.Audience}
	}
	if err := registered.ValidateWithLeeway(expected, s.cfg.Leeway); err != nil {
		return Sender{}, err
	}
	if registered.Expiry == nil {
		return Sender{}, errors.New("the token has no exp, so it would never expire")
	}
	if !validName(registered.Subject) {
		return Sender{}, errors.New("the token has no valid sub")
	}
	sender := Sender{Name: registered.Subject, Call: string(own.Call), Leg: string(own.Leg)}
	for key, value := range own.Metadata {
		if !validName(key) || len(value) > maxClaim || len(own.Metadata) > maxClaims || strings.ContainsFunc(string(value), unprintable) {
			return Sender{}, errors.New("the claim metadata is too large, or has an invalid key or value")
		}
		if sender.Metadata == nil {
			sender.Metadata = map[string]string{}
		}
		sender.Metadata[key] = string(value)
	}
	return sender, nil
}

// unprintable reports whether r must not be in metadata, which the database stores: NUL, other control characters, and the
// replacement of a broken character.
func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }

func (s *signed) algorithms() (list []jose.SignatureAlgorithm) {
	if len(s.secret) > 0 {
		list = append(list, jose.HS256)
	}
	if s.keys != nil {
		list = append(list, asymmetric...)
	}
	return list
}

// try calls check with the keys that can belong to the signature. It returns nil if one is good.
func (s *signed) try(ctx context.Context, h jose.Header, now time.Time, check func(key any) error) error {
	switch {
	case h.Algorithm == string(jose.HS256) && len(s.secret) > 0:
		return check(s.secret)
	case s.keys != nil && slices.Contains(asymmetric, jose.SignatureAlgorithm(h.Algorithm)):
		return s.keys.find(ctx, h.KeyID, h.Algorithm, now, check)
	}
	return fmt.Errorf("alg %.20q is not permitted", h.Algorithm)
}

// Sender is an authenticated sender of calls, with the permitted call and leg.
type Sender struct {
	Name      string
	Call, Leg string // only permitted call and leg; "" permits any
	// Metadata of the call that a signed token states. It outranks what the sender announces.
	Metadata map[string]string
}

func (s Sender) may(call, leg string) bool {
	return (s.Call == "" || s.Call == call) && (s.Leg == "" || s.Leg == leg)
}

// Ingest returns the authentication function of the WHIP server. It is nil while authentication is off.
func (a *Auth) Ingest() func(ctx context.Context, token string) (Sender, bool) {
	if a.Off() {
		return nil
	}
	return a.sender
}

// sender returns the sender that a token belongs to.
func (a *Auth) sender(ctx context.Context, token string) (Sender, bool) {
	if who, _, ok := a.holder(token); ok {
		return Sender{Name: who.Name}, who.Has("ingest")
	}
	if a.signed == nil || strings.Count(token, ".") != 2 {
		a.guessed(ctx)
		return Sender{}, false
	}
	s, err := a.signed.verify(ctx, token, a.now())
	if err == nil && slices.ContainsFunc(a.holders(), func(h holder) bool { return h.name == s.Name }) {
		err = fmt.Errorf("sub is %q, the name of a fixed token", s.Name) // otherwise one could end sessions of the other
	}
	if err != nil {
		a.guessed(ctx)
		a.log.Debug("signed token refused", "error", err) // debug only: any client could fill the log
		return Sender{}, false
	}
	return s, true
}
