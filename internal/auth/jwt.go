package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"callscreen/internal/config"
)

// signed judges signed tokens, RFC 7519. What a token says of its algorithm only chooses among those that are allowed, and
// each kind has keys of its own: HS256 the secret, the others the public keys. So a public key is never taken for a secret
// (RFC 8725, 2.1 and 3.1).
type signed struct {
	cfg    config.JWT
	secret []byte
	keys   *keySet // nil: none
}

// mostToken is longer than any token that means something here, and short enough to be looked at for everybody.
const mostToken = 8 << 10

var asymmetric = []jose.SignatureAlgorithm{jose.RS256, jose.PS256, jose.ES256, jose.ES384, jose.EdDSA}

func newSigned(cfg config.JWT) *signed {
	s := &signed{cfg: cfg, secret: []byte(cfg.Secret.Reveal())}
	if cfg.JWKS != "" {
		s.keys = newKeySet(cfg.JWKS)
	}
	return s
}

// text is a claim that is a text if it is there. null is not left out, but of the wrong type.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(data []byte) error {
	var s *string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s == nil || *s == "" {
		return errors.New("a claim is empty that should name something")
	}
	*t = text(*s)
	return nil
}

// claims are those that count besides the registered ones.
type claims struct {
	Call text `json:"call"`
	Leg  text `json:"leg"`
}

// verify is what a token says, if it is good at a time.
func (s *signed) verify(ctx context.Context, token string, now time.Time) (Sender, error) {
	if len(token) > mostToken {
		return Sender{}, fmt.Errorf("the token has more than %d bytes", mostToken)
	}
	parsed, err := jwt.ParseSigned(token, s.algorithms())
	if err != nil {
		return Sender{}, err
	}
	if len(parsed.Headers) != 1 {
		return Sender{}, errors.New("the token is not signed once")
	}
	key, err := s.key(ctx, parsed.Headers[0], now)
	if err != nil {
		return Sender{}, err
	}
	var registered jwt.Claims
	var own claims
	if err := parsed.Claims(key, &registered, &own); err != nil {
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
		return Sender{}, errors.New("the token has no exp, and would be good for ever")
	}
	if !validName(registered.Subject) {
		return Sender{}, errors.New("the token has no usable sub")
	}
	return Sender{Name: registered.Subject, Call: string(own.Call), Leg: string(own.Leg)}, nil
}

func (s *signed) algorithms() (list []jose.SignatureAlgorithm) {
	if len(s.secret) > 0 {
		list = append(list, jose.HS256)
	}
	if s.keys != nil {
		list = append(list, asymmetric...)
	}
	return list
}

// key is the one that the signature must fit.
func (s *signed) key(ctx context.Context, h jose.Header, now time.Time) (any, error) {
	switch {
	case h.Algorithm == string(jose.HS256) && len(s.secret) > 0:
		return s.secret, nil
	case s.keys != nil && slices.Contains(asymmetric, jose.SignatureAlgorithm(h.Algorithm)):
		k, err := s.keys.find(ctx, h.KeyID, h.Algorithm, now)
		if err != nil {
			return nil, err
		}
		return k.Key, nil
	}
	return nil, fmt.Errorf("alg is %.20q", h.Algorithm)
}

// Sender is who sends calls, and which.
type Sender struct {
	Name      string
	Call, Leg string // the only ones that may be sent; "" is any
}

func (s Sender) may(call, leg string) bool {
	return (s.Call == "" || s.Call == call) && (s.Leg == "" || s.Leg == leg)
}

// Ingest is for the WHIP server: nil where everybody may send.
func (a *Auth) Ingest() func(ctx context.Context, token string) (Sender, bool) {
	if a.Off() {
		return nil
	}
	return a.sender
}

// sender is who a token belongs to that may send.
func (a *Auth) sender(ctx context.Context, token string) (Sender, bool) {
	if who, ok := a.holder(token); ok {
		return Sender{Name: who.Name}, who.Has("ingest")
	}
	if a.signed == nil || strings.Count(token, ".") != 2 {
		return Sender{}, false
	}
	s, err := a.signed.verify(ctx, token, a.now())
	if err == nil && slices.ContainsFunc(a.holders(), func(h holder) bool { return h.name == s.Name }) {
		err = fmt.Errorf("sub is %q, which is the name of a fixed token", s.Name) // they could end each other's sessions
	}
	if err != nil {
		a.log.Debug("a signed token is refused", "error", err) // whoever wants to could fill the log
		return Sender{}, false
	}
	return s, true
}
