package app_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// NUL and broken UTF-8 in a path, a query, a form or a body are HTTP 400, with either database. PostgreSQL refuses both, which was
// taken for a failure of the database.
func TestTextsThatCannotBeStoredAreRefused(t *testing.T) {
	const formType = "application/x-www-form-urlencoded"
	const secret = "a secret of more than thirty-two bytes"
	for name, database := range map[string]func() string{
		"SQLite": func() string { return "" },
		"PostgreSQL": func() string {
			at := storetest.StartPostgres(t).Database()
			if err := store.Migrate(t.Context(), store.Options{URL: at}); err != nil {
				t.Fatal(err)
			}
			return at
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := database()
			s := newSidecar(t, simulator.Script{}, auth.Tokens{"admin": "token-admin"}, func(c *config.Config) {
				c.Database = config.Secret(at)
				c.WebRTC.RequestsPerSecond = 10_000
				c.Auth.JWT.Secret = secret
			})
			public, _ := s.app.Handlers()
			probe := &prober{t: t, bearer: map[string]string{"admin": "token-admin"}}
			want := func(status int, method, path, body string) {
				t.Helper()
				if got := probe.send(method, s.app.URL()+path, "admin", body); got != status {
					t.Errorf("%s %s with body %q: HTTP %d, want %d", method, path, body, got, status)
				}
			}
			offer, tried := offerOf(t), 0
			for _, route := range routesOf(patternsOf(public)) {
				method, path, _ := strings.Cut(route, " ")
				values := pathValue.FindAllString(path, -1)
				if strings.HasPrefix(path, "/static/") || strings.HasPrefix(path, "/whip/") && route != "POST /whip/{call}/{leg}" {
					continue // they read no table
				}
				for i := range values {
					for _, bad := range []string{"a%00b", "%00", "a%ff", "%c3%28", "%ed%a0%80"} {
						one := strings.Replace(path, values[i], bad, 1)
						tried++
						status := 400
						if strings.HasPrefix(path, "/calls/") {
							status = 404 // a page that does not exist
						}
						want(status, method, pathValue.ReplaceAllString(one, "x"), offer)
					}
				}
			}
			if tried < 50 {
				t.Errorf("only %d paths were tried", tried)
			}
			for _, bad := range []string{"a%00b", "a%ff"} {
				for _, path := range []string{
					"/api/v1/calls?q=" + bad, "/api/v1/calls?decision=" + bad, "/api/v1/calls?state=" + bad, "/api/v1/calls?review=" + bad,
					"/api/v1/calls?" + bad + "=x", "/?q=" + bad, "/?tab=all&q=" + bad, "/api/v1/events?call=" + bad,
					"/api/v1/calls/x/decision?wait=" + bad, "/api/v1/calls/x/waveform?points=" + bad, "/backtest?from=" + bad,
				} {
					want(400, "GET", path, "")
				}
				want(400, "DELETE", "/api/v1/calls/x?reason="+bad, "")
				want(400, "POST", "/whip/c/l?queue="+bad, offer)
				want(400, "POST", "/whip/c/l?"+bad+"=x", offer)
				want(400, "POST", "/api/v1/calls/c/legs/l/whep?queue="+bad, `{"url":"http://127.0.0.1:1/"}`)
			}
			id := base64.RawURLEncoding.EncodeToString([]byte(`{"StartedMS":1,"ID":"a\u0000b"}`))
			want(400, "GET", "/api/v1/calls?cursor="+id, "")
			want(400, "GET", "/?cursor="+id, "")
			for _, bad := range []string{`\u0000`, "\x00", "\xff", "\xed\xa0\x80"} {
				body := `{"action":"dispose","version":1,"disposition":"unsure","note":"a` + bad + `"}`
				if status := s.sendAs("POST", "/api/v1/calls/c/review", "token-admin", body, "application/json"); status != 400 {
					t.Errorf("a note with %q: HTTP %d", bad, status)
				}
				want(400, "POST", "/api/v1/calls/c/legs/l/whep", `{"url":"http://127.0.0.1:1/`+bad+`"}`)
				want(400, "PUT", "/api/v1/log-level", `{"level":"debug`+bad+`"}`)
			}
			form := url.Values{"action": {"dispose"}, "version": {"1"}, "disposition": {"unsure"}}.Encode()
			for _, bad := range []string{"%00", "%ff"} {
				if status := s.sendAs("POST", "/calls/c/review", "token-admin", form+"&note=a"+bad, formType); status != 400 {
					t.Errorf("a note of the form with %s: HTTP %d", bad, status)
				}
			}
			for _, bad := range []string{`a\u0000b`, `a\u001bb`, "\ufffd"} {
				probe.bearer["signed"] = withMetadata(secret, bad)
				if status := probe.send("POST", s.app.URL()+"/whip/c/l", "signed", offer); status != 401 {
					t.Errorf("a signed token with metadata %q: HTTP %d", bad, status)
				}
			}
			if log := s.log.String(); strings.Contains(log, "level=ERROR") {
				t.Errorf("log has errors:\n%s", log)
			}
		})
	}
}

// withMetadata returns a signed token with metadata, as JSON text.
func withMetadata(secret, value string) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":"sbc","exp":%d,"metadata":{"queue":"%s"}}`, time.Now().Add(time.Hour).Unix(), value)
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

func (s *sidecar) sendAs(method, path, token, body, kind string) int {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.app.URL()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for key, value := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": kind} {
		r.Header.Set(key, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
