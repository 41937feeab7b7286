package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/testkit"
)

// Every web address of the configuration has a secret in its path and its query, and no server answers there. Nothing that is
// written has the secret: output of the commands, logs of serve at level debug, answers, metrics, and the tables.
func TestSecretsOfAddressesShowNowhere(t *testing.T) {
	const secret, bad = "XYZZY", "http://127.0.0.1:1/services/T0/B0/XYZZY?token=XYZZY#XYZZY"
	const token = "c0c2ff7b1d5a4e6f9a8b3d2e1f708192"
	dir := history(t)
	file := filepath.Join(t.TempDir(), "hook.secret")
	if err := os.WriteFile(file, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	enqueue(t, dir)
	environ := []string{
		"CALLSCREEN_DATA_DIR=" + dir, "CALLSCREEN_LISTEN=127.0.0.1:0", "CALLSCREEN_WEBRTC_UDP_PORT=0", "CALLSCREEN_WEBRTC_TCP_PORT=0",
		"DATASPIKE_API_KEY=key-XYZZY", "CALLSCREEN_ANALYSIS_BASE_URL=" + bad, "CALLSCREEN_ADMIN_TOKEN=" + token,
		"CALLSCREEN_TRACE_ENDPOINT=" + bad, "CALLSCREEN_LOG_LEVEL=debug",
		"CALLSCREEN_AUTH_OIDC_ISSUER=" + bad, "CALLSCREEN_AUTH_OIDC_CLIENT_ID=id", "CALLSCREEN_OIDC_CLIENT_SECRET=XYZZY",
		"CALLSCREEN_AUTH_OIDC_REDIRECT_URL=https://h/login/oidc/callback", "CALLSCREEN_AUTH_OIDC_ROLES=[viewer]",
		"CALLSCREEN_AUTH_JWT_JWKS=" + bad, "CALLSCREEN_AUTH_JWT_ISSUER=i", "CALLSCREEN_AUTH_JWT_AUDIENCE=a",
		`CALLSCREEN_WEBHOOKS=[{name: crm, url: "` + bad + `", events: [call.flagged], secret_files: ["` + file + `"]}]`,
	}
	check := func(name, text string) {
		t.Helper()
		if strings.Contains(text, secret) {
			t.Errorf("%s shows the secret:\n%s", name, text)
		}
	}
	with := func(more ...string) []string { return append(append([]string{}, environ...), more...) }
	for name, run := range map[string][]string{
		"a valid configuration": environ,
		"no web addresses": with(
			"CALLSCREEN_ANALYSIS_BASE_URL=ftp://XYZZY@h/XYZZY", "CALLSCREEN_TRACE_ENDPOINT=XYZZY@h",
			"CALLSCREEN_AUTH_OIDC_ISSUER=h/XYZZY", "CALLSCREEN_AUTH_JWT_JWKS=ftp://h/XYZZY", "CALLSCREEN_AUDIO=XYZZY@s3://h",
			`CALLSCREEN_WEBHOOKS=[{name: crm, url: "h/XYZZY"}]`,
		),
		"addresses with credentials": with(
			"CALLSCREEN_ANALYSIS_BASE_URL=https://u:XYZZY@h", "CALLSCREEN_TRACE_ENDPOINT=http://u:XYZZY@h",
			"CALLSCREEN_AUTH_OIDC_ISSUER=https://u:XYZZY@h", "CALLSCREEN_AUTH_JWT_JWKS=https://u:XYZZY@h",
			`CALLSCREEN_WEBHOOKS=[{name: crm, url: "https://u:XYZZY@h"}]`, "CALLSCREEN_DATABASE=mysql://u:XYZZY@h/d",
		),
		"addresses that cannot be parsed": with(
			"CALLSCREEN_ANALYSIS_BASE_URL=https://h:XYZZY/", "CALLSCREEN_TRACE_ENDPOINT=http://h:XYZZY/",
			"CALLSCREEN_AUTH_OIDC_ISSUER=https://h:XYZZY/", `CALLSCREEN_WEBHOOKS=[{url: "https://h/XYZZY`,
		),
		"a database":                          with("CALLSCREEN_DATABASE=postgres://u:XYZZY@127.0.0.1:1/d?password=XYZZY&sslpassword=XYZZY"),
		"a database with an encoded password": with("CALLSCREEN_DATABASE=postgres://u:%58YZZY@127.0.0.1:1/d"),
		"no database":                         with("CALLSCREEN_DATABASE=postgres://u:XYZZY@127.0.0.1:port/d"),
	} {
		for _, line := range []string{"config print", "config check", "doctor", "doctor --json", "calls", "webhooks list"} {
			_, stdout, stderr := verb(t, run, "", strings.Fields(line)...)
			check(name+", "+line, stdout+stderr)
		}
	}

	var log testkit.Log
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan int, 1)
	go func() { done <- run(ctx, []string{"serve"}, env{environ: environ, stdout: &log, stderr: &log}) }()
	await := func(pattern string) string {
		t.Helper()
		for ctx.Err() == nil {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(log.String()); m != nil {
				return m[len(m)-1]
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("%s is not in the log:\n%s", pattern, log.String())
		return ""
	}
	base := await(`msg=serving http=(\S+)`)
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	defer client.CloseIdleConnections()
	ask := func(method, path, bearer, body string) {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, base+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		check(method+" "+path, fmt.Sprint(resp.Header, string(data)))
	}
	source, _ := json.Marshal(map[string]string{"url": bad, "token": secret})
	ask("POST", "/api/v1/calls/w/legs/caller/whep", token, string(source))
	ask("POST", "/api/v1/calls/w/legs/other/whep", token, `{"url": "ftp://u:XYZZY@h/XYZZY"}`)
	ask("GET", "/login/oidc", "", "")
	const unsigned = "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"
	ask("POST", "/whip/c/caller", unsigned, "v=0")
	await(`webhook delivery failed`)
	await(`WHEP session ended`)
	await(`single sign-on provider unreachable`)
	await(`signed token refused.*(connection refused)`)
	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/api/v1/calls", "/api/v1/webhooks/dead", "/", "/calls/c-1"} {
		ask("GET", path, token, "")
	}
	ask("DELETE", "/api/v1/calls/w/legs/caller/whep", token, "")
	cancel()
	<-done
	check("serve", log.String())
	_, stdout, stderr := verb(t, environ, "", "export")
	if check("export", stdout+stderr); !strings.Contains(stdout, "connection refused") {
		t.Error("the failed delivery is not in the tables, so they say nothing")
	}
}

// enqueue adds a message for the endpoint crm.
func enqueue(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddMessage(t.Context(), store.Message{
			ID:        "msg_2",
			Event:     "call.flagged",
			Call:      "c-1",
			CreatedAt: time.Now(),
			Body:      "{}",
		}, []string{"crm"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
