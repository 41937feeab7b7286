package app_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/app"
	"callscreen/internal/auth"
	"callscreen/internal/cert/certtest"
	"callscreen/internal/config"
)

// ask sends one request over a new connection.
func ask(t *testing.T, client *http.Client, method, url, token string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// Endpoints for monitoring and for admins are served at the admin address, and not at the public one.
func TestTheAdminListenerIsApart(t *testing.T) {
	s := newSidecar(
		t,
		simulator.Script{},
		auth.Tokens{"reviewer": "rev", "admin": "adm"},
		func(c *config.Config) { c.AdminListen = "127.0.0.1:0" },
	)
	public, admin := s.app.URL(), s.app.AdminURL()
	if public == admin || admin == "" {
		t.Fatal(public, admin)
	}
	for _, c := range []struct {
		method, path, token string
		public, admin       int
	}{
		{"GET", "/healthz", "", 200, 200},
		{"GET", "/readyz", "", 200, 200},
		{"GET", "/metrics", "", 404, 200},
		{"GET", "/api/v1/webhooks/dead", "adm", 404, 200},
		{"GET", "/api/v1/webhooks/dead", "rev", 404, 403},
		{"GET", "/api/v1/webhooks/dead", "", 404, 401},
		{"POST", "/api/v1/webhooks/endpoints/x/enable", "adm", 404, 404},
		{"GET", "/debug/pprof/heap", "adm", 404, 200},
		{"GET", "/debug/pprof/heap", "rev", 404, 403},
		{"GET", "/debug/pprof/heap", "", 404, 401},
		{"DELETE", "/api/v1/calls/none?reason=x", "adm", 404, 404},
		{"GET", "/api/v1/calls", "rev", 200, 404},
		{"GET", "/login", "", 200, 404},
		{"POST", "/whip/c/l", "adm", 415, 404},
	} {
		for at, want := range map[string]int{public: c.public, admin: c.admin} {
			if code, body := ask(t, http.DefaultClient, c.method, at+c.path, c.token); code != want {
				t.Errorf("%s %s at %s: HTTP %d %s, want %d", c.method, c.path, at, code, body, want)
			}
		}
	}
}

func TestAnOpenAdminListenerIsRefused(t *testing.T) {
	for key, open := range map[string]func(*config.Config){
		"admin_listen":  func(c *config.Config) { c.AdminListen = "0.0.0.0:0" },
		"health_listen": func(c *config.Config) { c.HealthListen = "[::]:0" },
	} {
		cfg := config.Default()
		cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
		open(&cfg)
		if _, err := app.New(t.Context(), app.Options{Config: cfg, Log: slog.New(slog.DiscardHandler)}); err == nil ||
			!strings.Contains(err.Error(), key+" is not a loopback address") {
			t.Error(key, err)
		}
	}
}

// Health and metrics can have a listener of their own, which serves nothing else. Metrics are only there.
func TestTheHealthListenerIsApart(t *testing.T) {
	for _, admin := range []string{"", "127.0.0.1:0"} {
		s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
			c.AdminListen, c.HealthListen = admin, "127.0.0.1:0"
		})
		for _, c := range []struct {
			path           string
			public, health int
		}{
			{"/healthz", 200, 200}, {"/readyz", 200, 200}, {"/metrics", 404, 200}, {"/api/v1/calls", 200, 404}, {"/", 200, 404},
		} {
			for at, want := range map[string]int{s.app.URL(): c.public, s.app.HealthURL(): c.health} {
				if code, body := ask(t, http.DefaultClient, "GET", at+c.path, "rev"); code != want {
					t.Errorf("%s at %s: HTTP %d %s, want %d", c.path, at, code, body, want)
				}
			}
		}
		if admin == "" {
			continue
		}
		if code, _ := ask(t, http.DefaultClient, "GET", s.app.AdminURL()+"/metrics", "rev"); code != 404 {
			t.Errorf("metrics at the admin listener: HTTP %d", code)
		}
	}
}

// TLS serves the same endpoints, over HTTP/2 if the client supports it. Cookies are restricted to TLS. A changed certificate
// file is used without a restart.
func TestServeOverTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pair := certtest.New(t, "callscreen.example.com")
	pair.Write(t, certFile, keyFile)
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
		c.TLS, c.AdminListen = config.TLS{CertFile: certFile, KeyFile: keyFile}, "127.0.0.1:0"
	})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pair.Cert)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, at := range []string{s.app.URL(), s.app.AdminURL()} {
		if code, _ := ask(t, client, "GET", at+"/readyz", ""); code != 200 {
			t.Errorf("%s: HTTP %d", at, code)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "POST", s.app.URL()+"/login", strings.NewReader(url.Values{"token": {"rev"}}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if cookies := resp.Cookies(); resp.ProtoMajor != 2 || resp.StatusCode != 303 || len(cookies) != 1 || !cookies[0].Secure ||
		!cookies[0].HttpOnly ||
		!strings.HasPrefix(cookies[0].Name, "__Host-") {
		t.Errorf("%s HTTP %d %v", resp.Proto, resp.StatusCode, cookies)
	}
	// A client that does not use TLS is refused. It is logged at the debug level only.
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", s.app.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, _ := io.ReadAll(c)
	if c.Close(); strings.Contains(string(answer), "200 OK") {
		t.Errorf("%s", answer)
	}
	s.stop()
	if strings.Contains(s.log.String(), "handshake") {
		t.Error(s.log.String())
	}
}

// A leg is not fetched from a forbidden address, and its metadata is bounded.
func TestLegsAreFetchedOnlyFromWhereTheyMay(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.WebRTC.WHEPAllow = []string{"media.example.com"} })
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	post := func(query string) int {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(
			ctx,
			"POST",
			s.app.URL()+"/api/v1/calls/pulled/legs/caller/whep"+query,
			strings.NewReader(`{"url":"http://`+inner.Addr().String()+`/whep"}`),
		)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	if got := post("?queue=" + strings.Repeat("x", 1000)); got != 400 {
		t.Errorf("with much metadata: HTTP %d", got)
	}
	if got := post("?queue=q"); got != 201 {
		t.Fatalf("HTTP %d", got)
	}
	for end := time.Now().Add(
		20 * time.Second,
	); !strings.Contains(s.log.String(), "is not allowed (hint: webrtc.whep_allow)"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(s.log.String())
		}
	}
	if code, _ := s.get("DELETE", "/api/v1/calls/pulled/legs/caller/whep", ""); code != 200 {
		t.Errorf("DELETE: HTTP %d", code)
	}
	// A pending connection is accepted at once.
	if err := inner.(*net.TCPListener).SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if c, err := inner.Accept(); err == nil {
		c.Close()
		t.Error("the sidecar connected to a forbidden address")
	}
}

// fixed returns a token for the configuration.
func fixed(name, secret string, roles ...string) config.Token {
	return config.Token{Name: name, Roles: roles, SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte(secret)))}
}
