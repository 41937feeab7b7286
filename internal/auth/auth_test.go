package auth_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a server with a page for viewers, a form for reviewers and the sign-in pages, on a database.
type house struct {
	t     *testing.T
	auth  *auth.Auth
	mux   *http.ServeMux
	store *store.Store
	now   time.Time
}

func token(name, secret string, roles ...string) config.Token {
	return config.Token{Name: name, Roles: roles, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))}
}

func newHouse(t *testing.T, change func(*config.Config)) *house {
	t.Helper()
	db, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &house{t: t, store: db, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	h.open(change)
	return h
}

// open starts the server, also again with another configuration.
func (h *house) open(change func(*config.Config)) {
	h.t.Helper()
	cfg := config.Default()
	cfg.Auth.Tokens = []config.Token{token("anna", "anna's", "reviewer"), token("vera", "vera's", "viewer"), token("pbx", "pbx's", "ingest")}
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		h.t.Fatal(err)
	}
	a, err := auth.New(cfg, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	a.Keep(h.store, nil)
	a.SetClock(func() time.Time { return h.now })
	h.t.Cleanup(a.CloseIdleConnections)
	h.auth, h.mux = a, http.NewServeMux()
	a.Register(h.mux)
	who := h.hello
	h.mux.HandleFunc("GET /", a.Require("viewer", who))
	h.mux.HandleFunc("POST /calls/{call}/review", a.Require("reviewer", who))
	h.mux.HandleFunc("GET /api/v1/calls", a.Require("viewer", who))
	h.mux.HandleFunc("GET /api/v1/events", a.Require("viewer", who))
}

func (*house) hello(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "hello %s", auth.Actor(r.Context()))
}

// browser keeps cookies, and sends the origin headers of browsers.
type browser struct {
	h       *house
	cookies map[string]string
	set     []*http.Cookie
	headers map[string]string
	from    string
	host    string
}

func (h *house) browser() *browser {
	return &browser{
		h:       h,
		cookies: map[string]string{},
		headers: map[string]string{"Accept": "text/html", "Sec-Fetch-Site": "same-origin"},
		from:    "192.0.2.1:5000",
		host:    "calls.example.com",
	}
}

// answer holds the relevant headers of an answer.
type answer struct {
	StatusCode int
	Header     http.Header
}

func (b *browser) do(method, path, body string) (answer, string) {
	b.h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = b.from, b.host
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for k, v := range b.headers {
		if v != "" {
			r.Header.Set(k, v)
		}
	}
	for k, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: k, Value: v})
	}
	w := httptest.NewRecorder()
	b.h.auth.Guard(b.h.mux).ServeHTTP(w, r)
	resp := w.Result()
	defer resp.Body.Close()
	b.set = resp.Cookies()
	for _, c := range b.set {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header}, string(data)
}

// signIn signs in with a token, and fails the test if that does not succeed.
func (b *browser) signIn(secret, next string) {
	b.h.t.Helper()
	if resp, body := b.do("POST", "/login", url.Values{"token": {secret}, "next": {next}}.Encode()); resp.StatusCode != 303 {
		b.h.t.Fatalf("HTTP %d %s", resp.StatusCode, body)
	}
}

// want requests a page and checks the answer.
func (b *browser) want(what, method, path string, status int, text string) {
	b.h.t.Helper()
	body := ""
	if method == "POST" {
		body = "x=1"
	}
	if resp, got := b.do(method, path, body); resp.StatusCode != status || !strings.Contains(got+resp.Header.Get("Location"), text) {
		b.h.t.Errorf(
			"%s: %s %s: HTTP %d %s %.300s, want %d with %q",
			what,
			method,
			path,
			resp.StatusCode,
			resp.Header.Get("Location"),
			got,
			status,
			text,
		)
	}
}

func TestSignInAndOut(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	b.want("not signed in", "GET", "/calls/a%2Fb?x=1", 303, "/login?next=%2Fcalls%2Fa%252Fb%3Fx%3D1")
	b.want("not signed in", "POST", "/calls/a/review", 401, "another tab")
	b.want("the page", "GET", "/login?next=/calls/a", 200, `name="next" value="/calls/a"`)
	b.want("a wrong token", "POST", "/login", 403, "is unknown")
	b.signIn("anna's", "/calls/a")
	c := b.set[0]
	if c.Name != "callscreen" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Secure || len(c.Value) != 43 ||
		c.MaxAge != 12*3600 {
		t.Errorf("%+v", c)
	}
	b.want("signed in", "GET", "/", 200, "hello anna")
	b.want("signed in", "POST", "/calls/a/review", 200, "hello anna")
	b.want("already", "GET", "/login?next=/calls/b", 303, "/calls/b")
	stolen := h.browser()
	stolen.cookies["callscreen"] = b.cookies["callscreen"]
	b.want("out", "POST", "/logout", 303, "/login?out")
	b.want("after", "GET", "/", 303, "/login")
	stolen.want("with a copy of the cookie", "GET", "/", 303, "/login")

	v := h.browser()
	v.signIn("vera's", "/")
	v.want("may look", "GET", "/", 200, "hello vera")
	v.want("may not decide", "POST", "/calls/a/review", 403, "role reviewer is required")
	p := h.browser()
	if resp, body := p.do("POST", "/login", "token=pbx%27s"); resp.StatusCode != 403 || !strings.Contains(body, "for senders of calls") ||
		len(p.cookies) > 0 {
		t.Errorf("a token for programs: HTTP %d %s", resp.StatusCode, body)
	}
}

// The id of a session is created at sign-in, never before, and earlier sessions end.
func TestNobodyBringsASessionAlong(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	b.cookies["callscreen"] = "chosen-by-somebody-else"
	b.signIn("anna's", "/")
	first := b.cookies["callscreen"]
	b.signIn("anna's", "/")
	old := h.browser()
	old.cookies["callscreen"] = first
	if first == "chosen-by-somebody-else" || b.cookies["callscreen"] == first {
		t.Error("the id is not new")
	}
	old.want("the session before", "GET", "/", 303, "/login")
	for _, id := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("x", 10_000)} {
		old.cookies["callscreen"] = id
		old.want("a made-up id", "GET", "/", 303, "/login")
	}
}

func TestSessionsExpire(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	b.signIn("anna's", "/")
	for range 24 { // in use, with pauses below the limit, until it is too old
		h.now = h.now.Add(29 * time.Minute)
		b.want("in use", "GET", "/", 200, "hello")
	}
	h.now = h.now.Add(23 * time.Minute)
	b.want("a minute before", "GET", "/", 200, "hello")
	h.now = h.now.Add(time.Minute)
	b.want("twelve hours later", "GET", "/", 303, "/login")

	b.signIn("anna's", "/")
	h.now = h.now.Add(30 * time.Minute)
	b.want("idle", "GET", "/", 303, "/login")
	if b.cookies["callscreen"] != "" {
		t.Error("the cookie is kept")
	}

	// Requests without user action do not extend the session.
	b.signIn("anna's", "/")
	for range 4 {
		h.now = h.now.Add(7 * time.Minute)
		b.want("events", "GET", "/api/v1/events", 200, "hello")
		b.headers["Callscreen-Background"] = "1"
		b.want("news", "GET", "/", 200, "hello")
		delete(b.headers, "Callscreen-Background")
	}
	h.now = h.now.Add(2 * time.Minute)
	b.want("nobody was there", "GET", "/", 303, "/login")
}

// Removing or changing a token ends its sessions. Changing its roles changes those of its sessions.
func TestSessionsFollowTheirToken(t *testing.T) {
	h := newHouse(t, nil)
	b := h.browser()
	b.signIn("vera's", "/")
	h.open(func(c *config.Config) { c.Auth.Tokens[1] = token("vera", "vera's", "reviewer") })
	b.want("promoted", "POST", "/calls/a/review", 200, "hello vera")
	h.open(func(c *config.Config) { c.Auth.Tokens[1] = token("vera", "another", "reviewer") })
	b.want("changed", "GET", "/", 303, "/login")
}

// Another site cannot use the browser of a signed-in user, with any sign-in method.
func TestCrossSiteRequestsAreRefused(t *testing.T) {
	h := newHouse(t, func(c *config.Config) {
		c.Auth.TrustedProxies = []string{"10.0.0.0/8"}
		c.Auth.Proxy = config.Proxy{UserHeader: "X-Forwarded-User", Roles: []string{"reviewer"}}
	})
	b := h.browser()
	b.signIn("anna's", "/")
	p := h.browser()
	p.from, p.headers["X-Forwarded-User"] = "10.0.0.1:1", "paul"
	for name, c := range map[string]struct {
		site, origin string
		status       int
	}{
		"our own page":                 {"same-origin", "https://calls.example.com", 200},
		"typed":                        {"none", "", 200},
		"a subdomain":                  {"same-site", "https://evil.example.com", 403},
		"another site":                 {"cross-site", "https://evil.test", 403},
		"an old browser, our page":     {"", "http://calls.example.com", 200},
		"an old browser, another site": {"", "https://evil.test", 403},
		"a page without an origin":     {"", "null", 403},
		"a program":                    {"", "", 200},
	} {
		for _, who := range []*browser{b, p} {
			who.headers["Sec-Fetch-Site"], who.headers["Origin"] = c.site, c.origin
			who.want(name, "POST", "/calls/a/review", c.status, "")
		}
		b.want(name+", looking", "GET", "/", 200, "hello")
	}
	// It cannot sign a user in or out either.
	b.headers["Sec-Fetch-Site"], b.headers["Origin"] = "cross-site", "https://evil.test"
	b.want("sign out", "POST", "/logout", 403, "cross-origin")
	b.want("sign in", "POST", "/login", 403, "cross-origin")
	// The browser does not send a bearer token by itself.
	b.headers["Authorization"] = "Bearer anna's"
	b.want("a token", "POST", "/calls/a/review", 200, "hello anna")
}

// Guesses from many addresses keep no valid token out.
func TestManyStrangersKeepNoUserOut(t *testing.T) {
	h := newHouse(t, nil)
	for i := range 12 {
		b := h.browser()
		b.from = fmt.Sprintf("198.51.100.%d:1", i)
		for range 10 {
			b.do("POST", "/login", "token=guess")
		}
	}
	b := h.browser()
	b.from = "203.0.113.1:1"
	b.want("a guess", "POST", "/login", 429, "Too many")
	b.signIn("anna's", "/")
}

// A proxy may write the port of the client behind its address.
func TestClientsBehindAProxyThatWritesPorts(t *testing.T) {
	for _, network := range []string{"10.0.0.0/8", "::ffff:10.0.0.0/104"} {
		h := newHouse(t, func(c *config.Config) { c.Auth.TrustedProxies = []string{network} })
		b := h.browser()
		b.from = "10.0.0.1:1"
		for i := range 10 {
			b.headers["X-Forwarded-For"] = fmt.Sprintf("203.0.113.7:%d", 4000+i)
			b.want("guess", "POST", "/login", 403, "is unknown")
		}
		b.headers["X-Forwarded-For"] = "203.0.113.7:9"
		b.want("the same client", "POST", "/login", 429, "Too many")
		for _, other := range []string{"203.0.113.8:9", "[2001:db8::1]:99", "2001:db8:1::1", "[2001:db8:2::1]"} {
			b.headers["X-Forwarded-For"] = other
			b.want(other, "POST", "/login", 403, "is unknown")
		}
	}
}

func TestFailedAttemptsAreSlowedDown(t *testing.T) {
	h := newHouse(t, func(c *config.Config) { c.Auth.TrustedProxies = []string{"10.0.0.0/8"} })
	b := h.browser()
	for range 10 {
		b.want("guess", "POST", "/login", 403, "is unknown")
	}
	resp, _ := b.do("POST", "/login", "token=anna%27s")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "6" {
		t.Errorf("HTTP %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	other := h.browser()
	other.from = "192.0.2.2:5000"
	other.signIn("anna's", "/")
	// The address of the proxy is not taken for the client, and a client cannot claim another address.
	other.from, other.headers["X-Forwarded-For"] = "10.0.0.1:1", "198.51.100.9, 192.0.2.1"
	other.want("behind the proxy", "POST", "/login", 429, "Too many")
	b.headers["X-Forwarded-For"] = "192.0.2.77"
	b.want("a made-up address", "POST", "/login", 429, "Too many")
	h.now = h.now.Add(6 * time.Second)
	b.want("a little later", "POST", "/login", 403, "is unknown")
	b.want("and again", "POST", "/login", 429, "Too many")
	six := h.browser()
	for i := range 10 {
		six.from = fmt.Sprintf("[2001:db8::%d]:1", i+1)
		six.want("guess", "POST", "/login", 403, "is unknown")
	}
	six.from = "[2001:db8::ffff]:1"
	six.want("from the same network", "POST", "/login", 429, "Too many")
}

func TestTheCookieIsSecureOverTLS(t *testing.T) {
	h := newHouse(t, func(c *config.Config) { c.Auth.TrustedProxies = []string{"10.0.0.0/8"} })
	b := h.browser()
	b.headers["X-Forwarded-Proto"] = "https"
	b.signIn("anna's", "/")
	if c := b.set[0]; c.Secure || c.Name != "callscreen" {
		t.Errorf("somebody who is no proxy of ours was believed: %+v", c)
	}
	b = h.browser()
	b.headers["X-Forwarded-Proto"], b.from = "https", "10.1.2.3:1"
	b.signIn("anna's", "/")
	if c := b.set[0]; !c.Secure || c.Name != "__Host-callscreen" || c.Path != "/" || c.Domain != "" {
		t.Errorf("%+v", c)
	}
	b.want("signed in", "GET", "/", 200, "hello anna")
	b.headers["X-Forwarded-Proto"] = ""
	b.want("over a plain connection", "GET", "/", 303, "/login")
}

// User headers only count from a trusted proxy.
func TestTheWordOfAProxy(t *testing.T) {
	h := newHouse(t, func(c *config.Config) {
		c.Auth.TrustedProxies = []string{"10.0.0.0/24", "::1/128"}
		c.Auth.Proxy = config.Proxy{UserHeader: "X-Forwarded-User", GroupsHeader: "X-Forwarded-Groups"}
		c.Auth.Groups = []config.Group{{Group: "fraud", Roles: []string{"reviewer"}}, {Group: "desk", Roles: []string{"viewer"}}}
	})
	for _, c := range []struct {
		name, from, user, groups string
		look, decide             int
	}{
		{"in a group", "10.0.0.9:1", "paul", "staff, fraud", 200, 200},
		{"in another", "10.0.0.9:1", "paul", "desk", 200, 403},
		{"in none of ours", "[::1]:1", "paul", "staff", 403, 403},
		{"no groups", "10.0.0.9:1", "paul", "", 403, 403},
		{"no name", "10.0.0.9:1", "", "fraud", 303, 401},
		{"the machine", "10.0.0.9:1", "machine", "fraud", 303, 401},
		{"a name that rings", "10.0.0.9:1", "paul\x07", "fraud", 303, 401},
		{"not our proxy", "10.0.1.9:1", "paul", "fraud", 303, 401},
		{"mapped", "[::ffff:10.0.0.9]:1", "paul", "fraud", 200, 200},
	} {
		b := h.browser()
		b.from, b.headers["X-Forwarded-User"], b.headers["X-Forwarded-Groups"] = c.from, c.user, c.groups
		text := ""
		if c.look == 200 {
			text = "hello paul"
		}
		b.want(c.name, "GET", "/", c.look, text)
		b.want(c.name, "POST", "/calls/a/review", c.decide, "")
	}
}

func TestWhereToGoAfterSigningIn(t *testing.T) {
	h := newHouse(t, nil)
	for next, want := range map[string]string{
		"/calls/a?x=1":          "/calls/a?x=1",
		"/calls/..%2F..":        "/calls/..%2F..",
		"":                      "/",
		"//evil.test/":          "/",
		"///evil.test":          "/",
		`/\evil.test`:           "/",
		"https://evil.test/":    "/",
		"javascript:alert(1)":   "/",
		"evil.test":             "/",
		"/a\r\nSet-Cookie: x=1": "/",
		"/login?next=/login":    "/",
		"/\t/evil.test":         "/",
	} {
		b := h.browser()
		resp, _ := b.do("POST", "/login", url.Values{"token": {"anna's"}, "next": {next}}.Encode())
		if got := resp.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// While authentication is off, this machine has every role, but a page of another site in its browser has none.
func TestWithoutAuthentication(t *testing.T) {
	h := newHouse(t, func(c *config.Config) { c.Auth.Tokens = nil })
	for _, c := range []struct {
		host, site, origin string
		look, decide       int
	}{
		{"127.0.0.1:8080", "same-origin", "http://127.0.0.1:8080", 200, 200},
		{"localhost:8080", "", "", 200, 200},
		{"[::1]:8080", "", "", 200, 200},
		{"localhost", "", "", 200, 200},
		{"127.0.0.1:8080", "cross-site", "https://evil.test", 200, 403},
		{"127.0.0.1:8080", "", "https://evil.test", 200, 403},
		{"evil.test:8080", "same-origin", "http://evil.test:8080", 403, 403},
		{"localhost.evil.test", "", "", 403, 403},
	} {
		b := h.browser()
		b.host, b.headers["Sec-Fetch-Site"], b.headers["Origin"] = c.host, c.site, c.origin
		b.want(c.host+c.origin, "GET", "/", c.look, "")
		b.want(c.host+c.origin, "POST", "/calls/a/review", c.decide, "")
	}
	b := h.browser()
	b.host = "localhost"
	b.want("nobody has to sign in", "GET", "/login?next=/calls/x", 303, "/calls/x")
	b.want("the name in the audit", "GET", "/", 200, "hello anonymous")
}

// Successful sign-ins are limited too: each writes to the database.
func TestVisitsToSignInAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	refused := 0
	for range 100 {
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(url.Values{"token": {"anna's"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.mux.ServeHTTP(w, r)
		if w.Code == http.StatusTooManyRequests {
			refused++
		} else if w.Code != http.StatusSeeOther {
			t.Fatalf("HTTP %d", w.Code)
		}
	}
	if refused != 40 {
		t.Errorf("%d of 100 at once were refused, want 40", refused)
	}
}
