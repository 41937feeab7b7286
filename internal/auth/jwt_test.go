package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"callscreen/internal/auth"
	"callscreen/internal/config"
)

const jwtSecret = "a secret of more than thirty-two bytes"

// issuer signs tokens and writes its keys to a file.
type issuer struct {
	t   *testing.T
	now time.Time
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	jws string // the file
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), jws: filepath.Join(t.TempDir(), "keys.json")}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	i.publish(i.public()...)
	return i
}

func (i *issuer) public() []jose.JSONWebKey {
	return []jose.JSONWebKey{
		{Key: &i.rsa.PublicKey, KeyID: "r", Algorithm: "RS256", Use: "sig"},
		{Key: &i.ec.PublicKey, KeyID: "e", Use: "sig"},
	}
}

func (i *issuer) publish(keys ...jose.JSONWebKey) {
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err == nil {
		err = os.WriteFile(i.jws, data, 0o600)
	}
	if err != nil {
		i.t.Fatal(err)
	}
}

// claims returns the claims of a valid token with changes.
func (i *issuer) claims(change map[string]any) map[string]any {
	c := map[string]any{
		"sub": "sbc-1",
		"iss": "https://issuer.example.com",
		"aud": []string{"other", "callscreen"},
		"exp": i.now.Add(time.Hour).Unix(),
		"nbf": i.now.Unix(),
	}
	for k, v := range change {
		if c[k] = v; v == nil {
			delete(c, k)
		}
	}
	return c
}

func (i *issuer) sign(alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	i.t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts = opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		i.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

func (i *issuer) hs(claims any) string { return i.sign(jose.HS256, []byte(jwtSecret), "", claims) }

func (i *issuer) auth(change func(*config.Config)) *auth.Auth {
	i.t.Helper()
	cfg := config.Default()
	cfg.Auth.JWT = config.JWT{
		Secret:   jwtSecret,
		JWKS:     i.jws,
		Issuer:   "https://issuer.example.com",
		Audience: "callscreen",
		Leeway:   30 * time.Second,
	}
	cfg.Auth.Tokens = []config.Token{token("pbx", "pbx's", "ingest"), token("vera", "vera's", "viewer")}
	if change != nil {
		change(&cfg)
	}
	a, err := auth.New(cfg, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	a.SetClock(func() time.Time { return i.now })
	i.t.Cleanup(a.CloseIdleConnections)
	return a
}

func (i *issuer) ingest(change func(*config.Config)) func(string) (auth.Sender, bool) {
	i.t.Helper()
	a := i.auth(change)
	return func(token string) (auth.Sender, bool) {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return a.Ingest()(ctx, token)
	}
}

func TestGoodTokensOfSenders(t *testing.T) {
	i := newIssuer(t)
	ingest := i.ingest(nil)
	plain := auth.Sender{Name: "sbc-1"}
	for name, c := range map[string]struct {
		token string
		want  auth.Sender
	}{
		"a fixed one":       {"pbx's", auth.Sender{Name: "pbx"}},
		"HS256":             {i.hs(i.claims(nil)), plain},
		"RS256":             {i.sign(jose.RS256, i.rsa, "r", i.claims(nil)), plain},
		"ES256":             {i.sign(jose.ES256, i.ec, "e", i.claims(nil)), plain},
		"a single audience": {i.hs(i.claims(map[string]any{"aud": "callscreen"})), plain},
		"for a call and a leg": {
			i.hs(i.claims(map[string]any{"call": "c1", "leg": "caller"})),
			auth.Sender{Name: "sbc-1", Call: "c1", Leg: "caller"},
		},
		"expired within the leeway": {i.hs(i.claims(map[string]any{"exp": i.now.Add(-20 * time.Second).Unix()})), plain},
	} {
		if got, ok := ingest(c.token); !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v %v", name, got, ok)
		}
	}
}

func unsigned(header string, claims any) string {
	payload, _ := json.Marshal(claims)
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e(payload) + "."
}

func TestForgedTokensAreRefused(t *testing.T) {
	i := newIssuer(t)
	ingest := i.ingest(nil)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&i.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	published, err := os.ReadFile(i.jws)
	if err != nil {
		t.Fatal(err)
	}
	good := i.sign(jose.RS256, i.rsa, "r", i.claims(nil))
	parts := strings.Split(good, ".")
	changed, _ := json.Marshal(i.claims(map[string]any{"sub": "somebody"}))
	with := func(k string, v any) string { return i.hs(i.claims(map[string]any{k: v})) }
	for name, token := range map[string]string{
		"alg none":                         unsigned(`{"alg":"none"}`, i.claims(nil)),
		"alg None":                         unsigned(`{"alg":"None","typ":"JWT"}`, i.claims(nil)),
		"no alg":                           unsigned(`{}`, i.claims(nil)),
		"the signature cut off":            parts[0] + "." + parts[1] + ".",
		"HS256 with the public key as PEM": i.sign(jose.HS256, public, "r", i.claims(nil)),
		"HS256 with the public key as DER": i.sign(jose.HS256, der, "r", i.claims(nil)),
		"HS256 with the published keys":    i.sign(jose.HS256, published, "r", i.claims(nil)),
		"HS256 with another secret":        i.sign(jose.HS256, []byte(strings.Repeat("x", 40)), "", i.claims(nil)),
		"HS512 with the secret":            i.sign(jose.HS512, []byte(jwtSecret+jwtSecret), "", i.claims(nil)),
		"RS256 with another key":           i.sign(jose.RS256, other, "r", i.claims(nil)),
		"RS256 with an unknown key":        i.sign(jose.RS256, other, "x", i.claims(nil)),
		"RS512 with a key for RS256":       i.sign(jose.RS512, i.rsa, "r", i.claims(nil)),
		"PS256 with a key for RS256":       i.sign(jose.PS256, i.rsa, "r", i.claims(nil)),
		"its own key in the header":        embedded(t, i, other),
		"changed claims":                   parts[0] + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + parts[2],
		"expired":                          with("exp", i.now.Add(-time.Minute).Unix()),
		"without end":                      with("exp", nil),
		"an end that is no number":         with("exp", "tomorrow"),
		"not yet good":                     with("nbf", i.now.Add(time.Minute).Unix()),
		"issued in the future":             with("iat", i.now.Add(time.Hour).Unix()),
		"another audience":                 with("aud", "other"),
		"no audience":                      with("aud", nil),
		"another issuer":                   with("iss", "https://evil.example.com"),
		"no issuer":                        with("iss", nil),
		"no name":                          with("sub", nil),
		"the name of the machine":          with("sub", "machine"),
		"the name of a fixed token":        with("sub", "pbx"),
		"a call that is no text":           with("call", 5),
		"a call that is null": i.hs(json.RawMessage(strings.Replace(mustJSON(i.claims(map[string]any{
			"call": "x",
		})), `"x"`, "null", 1))),
		"an empty leg":                 with("leg", ""),
		"huge":                         with("sub", strings.Repeat("x", 100_000)),
		"a huge claim beside":          with("x", strings.Repeat("x", 10_000)),
		"garbage":                      "a.b.c",
		"dots":                         "..",
		"nothing":                      "",
		"JSON serialization":           `{"payload":"e30","signatures":[]}`,
		"a fixed one without the role": "vera's",
		"encrypted":                    "a.b.c.d.e",
	} {
		if who, ok := ingest(token); ok {
			t.Errorf("%s: taken as %+v", name, who)
		}
	}
	if _, ok := ingest(good); !ok {
		t.Error("the good one is refused, so the others say nothing")
	}
}

func mustJSON(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// embedded returns a token that contains the key of its own signature.
func embedded(t *testing.T, i *issuer, key *rsa.PrivateKey) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, &jose.SignerOptions{EmbedJWK: true})
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(mustJSON(i.claims(nil))))
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// Changed keys in a file are reloaded, and a broken file changes nothing.
func TestKeysInAFileMayChange(t *testing.T) {
	i := newIssuer(t)
	ingest := i.ingest(nil)
	rs, es := i.sign(jose.RS256, i.rsa, "r", i.claims(nil)), i.sign(jose.ES256, i.ec, "e", i.claims(nil))
	expect := func(when string, wantRS, wantES bool) {
		t.Helper()
		i.now = i.now.Add(5 * time.Second)
		if _, ok := ingest(rs); ok != wantRS {
			t.Errorf("%s: RS256 %v", when, ok)
		}
		if _, ok := ingest(es); ok != wantES {
			t.Errorf("%s: ES256 %v", when, ok)
		}
	}
	expect("both", true, true)
	i.publish(i.public()[1])
	expect("one was withdrawn", false, true)
	if err := os.WriteFile(i.jws, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("broken", false, true)
	// A published secret or private key is not accepted as a key.
	i.publish(jose.JSONWebKey{Key: []byte(jwtSecret), KeyID: "r"}, jose.JSONWebKey{Key: i.rsa, KeyID: "r"}, i.public()[1])
	expect("published by mistake", false, true)
}

// A token without a key id is good if any key of its kind is good. A key that replaced another one is found.
func TestTokensWithoutAKeyID(t *testing.T) {
	i := newIssuer(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := func(key any, id string) jose.JSONWebKey { return jose.JSONWebKey{Key: key, KeyID: id, Use: "sig"} }
	ours, theirs, curve := public(&i.rsa.PublicKey, "r"), public(&other.PublicKey, "o"), public(&i.ec.PublicKey, "e")
	token := i.sign(jose.RS256, i.rsa, "", i.claims(nil))
	for name, c := range map[string]struct {
		keys []jose.JSONWebKey
		want bool
	}{
		"the only key":              {[]jose.JSONWebKey{ours}, true},
		"the only key without id":   {[]jose.JSONWebKey{public(&i.rsa.PublicKey, "")}, true},
		"the only key of its kind":  {[]jose.JSONWebKey{curve, ours}, true},
		"one of two":                {[]jose.JSONWebKey{theirs, ours}, true},
		"one of three":              {[]jose.JSONWebKey{curve, ours, theirs}, true},
		"a key for another alg":     {[]jose.JSONWebKey{{Key: &i.rsa.PublicKey, KeyID: "r", Use: "sig", Algorithm: "PS256"}}, false},
		"another key":               {[]jose.JSONWebKey{theirs, curve}, false},
		"no key of its kind at all": {[]jose.JSONWebKey{curve}, false},
	} {
		i.publish(c.keys...)
		if _, ok := i.ingest(nil)(token); ok != c.want {
			t.Errorf("%s: %v", name, ok)
		}
	}
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.ServeFile(w, r, i.jws)
	}))
	defer server.Close()
	i.publish(theirs)
	ingest := i.ingest(func(c *config.Config) { c.Auth.JWT.JWKS = server.URL + "/keys" })
	if _, ok := ingest(token); ok {
		t.Error("a token of another key is good")
	}
	i.publish(ours)
	for range 20 {
		if _, ok := ingest(token); ok {
			t.Error("keys are fetched again at once")
		}
	}
	i.now = i.now.Add(15 * time.Second)
	if _, ok := ingest(token); !ok || asked.Load() != 2 {
		t.Errorf("the new key is good: %v, after %d requests, want 2", ok, asked.Load())
	}
}

// Keys from a URL are cached. They are fetched again after a while and for an unknown key id, but not for every made-up
// id. An unreachable URL has no effect for a day.
func TestKeysFromTheWeb(t *testing.T) {
	i := newIssuer(t)
	var asked, down atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch down.Load() {
		case 0:
			http.ServeFile(w, r, i.jws)
		case 1:
			w.WriteHeader(http.StatusInternalServerError)
		case 2:
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case 3:
			_, _ = fmt.Fprintf(w, `{"keys":[],"x":"%s"}`, strings.Repeat("x", 1<<20))
		}
	}))
	defer server.Close()
	ingest := i.ingest(func(c *config.Config) { c.Auth.JWT.JWKS = server.URL + "/keys" })
	good := i.sign(jose.RS256, i.rsa, "r", i.claims(map[string]any{"exp": i.now.Add(1000 * time.Hour).Unix()}))
	expect := func(when string, want bool, times int64) {
		t.Helper()
		if _, ok := ingest(good); ok != want {
			t.Errorf("%s: %v", when, ok)
		}
		if n := asked.Load(); n != times {
			t.Errorf("%s: the keys were asked for %d times, want %d", when, n, times)
		}
	}
	expect("at first", true, 1)
	expect("again", true, 1)
	i.now = i.now.Add(time.Minute)
	for range 50 {
		ingest(i.sign(jose.ES256, i.ec, fmt.Sprint("made up ", time.Now()), i.claims(nil)))
	}
	expect("after keys that were made up", true, 2)
	i.now = i.now.Add(11 * time.Minute)
	expect("after a while", true, 3)
	for state := range int64(3) {
		down.Store(state + 1)
		i.now = i.now.Add(11 * time.Minute)
		expect("away", true, 4+state)
	}
	i.now = i.now.Add(25 * time.Hour)
	expect("away for a day", false, 7)
	down.Store(0)
	i.now = i.now.Add(time.Minute)
	expect("back", true, 8)
}

// A sender of a leg can pause that leg, and no other.
func TestSignedTokensAreGoodForTheirLeg(t *testing.T) {
	i := newIssuer(t)
	a := i.auth(nil)
	for name, c := range map[string]struct {
		token, call, leg string
		want             int
	}{
		"its leg":                {i.hs(i.claims(map[string]any{"call": "c1", "leg": "caller"})), "c1", "caller", 204},
		"another leg":            {i.hs(i.claims(map[string]any{"call": "c1", "leg": "caller"})), "c1", "agent", 403},
		"another call":           {i.hs(i.claims(map[string]any{"call": "c1", "leg": "caller"})), "c2", "caller", 403},
		"any leg of its call":    {i.hs(i.claims(map[string]any{"call": "c1"})), "c1", "agent", 204},
		"any leg":                {i.hs(i.claims(nil)), "c1", "agent", 204},
		"expired":                {i.hs(i.claims(map[string]any{"exp": i.now.Add(-time.Hour).Unix()})), "c1", "caller", 403},
		"no token of ours":       {"e30.e30.e30", "c1", "caller", 403},
		"a fixed one":            {"pbx's", "c1", "caller", 204},
		"a fixed one, for pages": {"vera's", "c1", "caller", 403},
		"none":                   {"", "c1", "caller", 401},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.SetPathValue("call", c.call)
		r.SetPathValue("leg", c.leg)
		if c.token != "" {
			r.Header.Set("Authorization", "Bearer "+c.token)
		}
		w := httptest.NewRecorder()
		a.RequireSender(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })(w, r)
		if w.Code != c.want {
			t.Errorf("%s: HTTP %d %s, want %d", name, w.Code, w.Body, c.want)
		}
	}
}
