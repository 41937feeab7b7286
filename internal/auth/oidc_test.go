package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"callscreen/internal/config"
)

// provider is a small OpenID provider with scripted answers.
type provider struct {
	t      *testing.T
	url    string
	key    *ecdsa.PrivateKey
	claims map[string]any // over the usual ones; nil leaves one out
	signer *ecdsa.PrivateKey
	asked  url.Values // of the last authorization
	codes  map[string]url.Values
}

func newProvider(t *testing.T) *provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{
		t:      t,
		key:    key,
		signer: key,
		claims: map[string]any{},
		codes:  map[string]url.Values{},
	}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": p.url, "authorization_endpoint": p.url + "/authorize", "token_endpoint": p.url + "/token", "jwks_uri": p.url + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		code := r.PostFormValue("code")
		asked := p.codes[code]
		delete(p.codes, code)
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		id, secret, _ := r.BasicAuth()
		if id == "" {
			id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
		}
		if asked == nil || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || id != "callscreen" ||
			secret != "hush" ||
			r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": "invalid_grant"})
			return
		}
		claims := map[string]any{
			"iss":            p.url,
			"aud":            "callscreen",
			"sub":            "1",
			"exp":            time.Now().Add(time.Minute).Unix(),
			"iat":            time.Now().Unix(),
			"nonce":          asked.Get("nonce"),
			"email":          "olga@example.com",
			"email_verified": true,
			"groups":         []string{"staff", "fraud"},
		}
		for k, v := range p.claims {
			if claims[k] = v; v == nil {
				delete(claims, k)
			}
		}
		answer(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": p.sign(claims)})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

func (p *provider) sign(claims map[string]any) string {
	p.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.signer, KeyID: "k"}}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	data, err := json.Marshal(claims)
	if err != nil {
		p.t.Fatal(err)
	}
	signed, err := s.Sign(data)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// authorize signs in at the provider and returns the redirect with a code.
func (p *provider) authorize(location string) (back url.Values) {
	p.t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, p.url+"/authorize?") {
		p.t.Fatalf("sent to %s: %v", location, err)
	}
	p.asked = u.Query()
	code := rand.Text()
	p.codes[code] = p.asked
	return url.Values{"code": {code}, "state": {p.asked.Get("state")}}
}

func (p *provider) configure(c *config.Config) {
	c.Auth.OIDC.Issuer, c.Auth.OIDC.ClientID, c.Auth.OIDC.ClientSecret = p.url, "callscreen", "hush"
	c.Auth.OIDC.RedirectURL = "https://calls.example.com/login/oidc/callback"
	c.Auth.Groups = []config.Group{{Group: "fraud", Roles: []string{"reviewer"}}}
}

func TestSingleSignOn(t *testing.T) {
	p := newProvider(t)
	h := newHouse(t, p.configure)
	b := h.browser()
	b.want("the page offers it", "GET", "/login?next=/calls/a", 200, "/login/oidc?next=%2Fcalls%2Fa")
	resp, _ := b.do("GET", "/login/oidc?next=/calls/a", "")
	back := p.authorize(resp.Header.Get("Location"))
	for key, want := range map[string]string{
		"response_type":         "code",
		"client_id":             "callscreen",
		"redirect_uri":          "https://calls.example.com/login/oidc/callback",
		"scope":                 "openid profile email",
		"code_challenge_method": "S256",
	} {
		if got := p.asked.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if p.asked.Get("nonce") == "" || p.asked.Get("state") == "" || p.asked.Get("nonce") == p.asked.Get("state") {
		t.Errorf("%v", p.asked)
	}
	b.headers["Sec-Fetch-Site"] = "cross-site" // the provider sends them back
	b.want("back", "GET", "/login/oidc/callback?"+back.Encode(), 303, "/calls/a")
	b.headers["Sec-Fetch-Site"] = "same-origin"
	b.want("signed in", "POST", "/calls/a/review", 200, "hello olga@example.com")
	b.want("the same answer again", "GET", "/login/oidc/callback?"+back.Encode(), 400, "not started here")
	h.open(nil)
	b.want("single sign-on was turned off", "GET", "/", 303, "/login")
}

// Every error of a provider, or of an attacker in between, refuses the sign-in.
func TestSingleSignOnThatIsRefused(t *testing.T) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, nil)
	for name, c := range map[string]struct {
		claims map[string]any
		back   func(url.Values)
		key    *ecdsa.PrivateKey
		status int
		want   string
	}{
		"in none of our groups":      {claims: map[string]any{"groups": []string{"staff"}}, status: 403, want: "none of your groups"},
		"no groups":                  {claims: map[string]any{"groups": nil}, status: 403, want: "none of your groups"},
		"a group as text":            {claims: map[string]any{"groups": "fraud"}, status: 303},
		"no address":                 {claims: map[string]any{"email": nil}, status: 403},
		"an address that is not":     {claims: map[string]any{"email_verified": false}, status: 403},
		"not verified, as text":      {claims: map[string]any{"email_verified": "false"}, status: 403},
		"verified, as text":          {claims: map[string]any{"email_verified": "true"}, status: 303},
		"a provider that never says": {claims: map[string]any{"email_verified": nil}, status: 303},
		"for us and another":         {claims: map[string]any{"aud": []string{"callscreen", "other"}}, status: 403},
		"issued to us, for both": {
			claims: map[string]any{"aud": []string{"callscreen", "other"}, "azp": "callscreen"},
			status: 303,
		},
		"issued to another, for both": {
			claims: map[string]any{"aud": []string{"callscreen", "other"}, "azp": "other"},
			status: 403,
		},
		"issued to another, for us": {claims: map[string]any{"azp": "other"}, status: 403},
		"issued to a number":        {claims: map[string]any{"azp": 7}, status: 403},
		"issued to us":              {claims: map[string]any{"azp": "callscreen"}, status: 303},
		"the machine":               {claims: map[string]any{"email": "machine"}, status: 403},
		"for another attempt":       {claims: map[string]any{"nonce": "x"}, status: 403},
		"without a nonce":           {claims: map[string]any{"nonce": nil}, status: 403},
		"for another client":        {claims: map[string]any{"aud": "other"}, status: 403},
		"of another provider":       {claims: map[string]any{"iss": "https://evil.test"}, status: 403},
		"expired":                   {claims: map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, status: 403},
		"signed by somebody":        {key: other, status: 403},
		"another state":             {back: func(q url.Values) { q.Set("state", "x") }, status: 400, want: "not started here"},
		"no state":                  {back: func(q url.Values) { q.Del("state") }, status: 400},
		"another code":              {back: func(q url.Values) { q.Set("code", "x") }, status: 403},
		"refused":                   {back: func(q url.Values) { q.Set("error", "access_denied") }, status: 403},
		"mixed up with another":     {back: func(q url.Values) { q.Set("iss", "https://evil.test") }, status: 403},
		"named, and the right one":  {back: func(q url.Values) { q.Set("iss", "ISSUER") }, status: 303},
		"nothing is wrong with it":  {status: 303},
		"somebody who is also more": {claims: map[string]any{"groups": []string{"fraud", "fraud", "x"}}, status: 303},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			h.open(p.configure)
			b := h.browser()
			resp, _ := b.do("GET", "/login/oidc", "")
			back := p.authorize(resp.Header.Get("Location"))
			if p.claims = c.claims; c.key != nil {
				p.signer = c.key
			}
			if c.back != nil {
				c.back(back)
			}
			if back.Get("iss") == "ISSUER" {
				back.Set("iss", p.url)
			}
			b.want(name, "GET", "/login/oidc/callback?"+back.Encode(), c.status, c.want)
			want := 303
			if c.status == 303 {
				want = 200
			}
			b.want(name+", afterwards", "GET", "/", want, "")
		})
	}
}

// Roles that go by an address need an address that the provider has verified.
func TestRolesByAddressNeedAVerifiedAddress(t *testing.T) {
	h := newHouse(t, nil)
	for _, c := range []struct {
		verified any
		name     string
		status   int
	}{
		{true, "email", 303}, {true, "sub", 303}, {"true", "sub", 303}, {false, "sub", 403}, {nil, "sub", 403}, {nil, "email", 403},
		{"yes", "sub", 403}, {1, "sub", 403},
	} {
		p := newProvider(t)
		p.claims = map[string]any{"email_verified": c.verified}
		h.open(func(cfg *config.Config) {
			p.configure(cfg)
			cfg.Auth.OIDC.NameClaim, cfg.Auth.OIDC.GroupsClaim = c.name, "email"
			cfg.Auth.Groups = []config.Group{{Group: "olga@example.com", Roles: []string{"admin"}}}
		})
		b := h.browser()
		resp, _ := b.do("GET", "/login/oidc", "")
		back := p.authorize(resp.Header.Get("Location"))
		b.want(fmt.Sprintf("verified is %v", c.verified), "GET", "/login/oidc/callback?"+back.Encode(), c.status, "")
	}
}

// The roles of a signed-in user are those of the configuration in force, not those at the time of the sign-in.
func TestRolesOfASessionFollowTheConfiguration(t *testing.T) {
	p := newProvider(t)
	h := newHouse(t, p.configure)
	b := h.browser()
	resp, _ := b.do("GET", "/login/oidc", "")
	back := p.authorize(resp.Header.Get("Location"))
	b.want("back", "GET", "/login/oidc/callback?"+back.Encode(), 303, "")
	b.want("a reviewer", "POST", "/calls/a/review", 200, "hello olga")
	with := func(group string, roles []string, all ...string) func(*config.Config) {
		return func(c *config.Config) {
			p.configure(c)
			c.Auth.Groups = []config.Group{{Group: group, Roles: roles}}
			c.Auth.OIDC.Roles = all
		}
	}
	reload := func(change func(*config.Config)) {
		t.Helper()
		cfg := config.Default()
		cfg.Auth.Tokens = []config.Token{token("anna", "anna's", "reviewer")}
		change(&cfg)
		use, err := h.auth.Renew(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		use()
	}
	reload(with("fraud", []string{"viewer"}))
	b.want("a viewer since the reload", "POST", "/calls/a/review", 403, "")
	b.want("a viewer since the reload", "GET", "/", 200, "hello olga")
	h.open(with("staff", []string{"reviewer"}))
	b.want("by another group since the restart", "POST", "/calls/a/review", 200, "hello olga")
	reload(with("others", []string{"reviewer"}, "viewer"))
	b.want("a viewer like all", "POST", "/calls/a/review", 403, "")
	reload(with("others", []string{"reviewer"}))
	b.want("without a role", "GET", "/", 303, "/login")
	reload(with("fraud", []string{"reviewer"}))
	b.want("the session has ended for good", "GET", "/", 303, "/login")
}

// An intercepted verifier is useless without the cookie of the browser that started the sign-in.
func TestSingleSignOnStaysInItsBrowser(t *testing.T) {
	p := newProvider(t)
	h := newHouse(t, p.configure)
	mine, theirs := h.browser(), h.browser()
	resp, _ := mine.do("GET", "/login/oidc", "")
	back := p.authorize(resp.Header.Get("Location"))
	theirs.want("another browser", "GET", "/login/oidc/callback?"+back.Encode(), 400, "not started here")
	theirs.do("GET", "/login/oidc", "")
	theirs.want("another browser, with an attempt of its own", "GET", "/login/oidc/callback?"+back.Encode(), 400, "not started here")
	mine.want("the one that began", "GET", "/login/oidc/callback?"+back.Encode(), 303, "/")
}

func TestAProviderThatIsAway(t *testing.T) {
	p := newProvider(t)
	h := newHouse(t, func(c *config.Config) {
		p.configure(c)
		c.Auth.OIDC.Issuer = "http://127.0.0.1:1"
	})
	b := h.browser()
	b.want("away", "GET", "/login/oidc", 503, "does not answer")
	b.signIn("anna's", "/") // the tokens work
}
