package app_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// Policy, tokens and webhooks change while a call is in progress, which goes on and is decided by the new policy; what
// cannot be taken over changes nothing.
func TestReloadTouchesNoCall(t *testing.T) {
	t.Parallel()
	told := make(chan string, 10)
	crm := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Webhook-Id") }))
	defer crm.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	var cfg config.Config
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "old"}, func(c *config.Config) { cfg = *c })
	var done sync.WaitGroup
	done.Go(func() {
		if sum, _ := s.play(t.Context(), demo.Synthetic, "on", "caller", 9, publish.Impairment{}); sum.Err() != nil {
			t.Error(sum.Err())
		}
	})
	time.Sleep(2 * time.Second)
	tokens := auth.Tokens{"ingest": "in", "reviewer": "new"}
	broken := cfg
	broken.Webhooks = []config.Webhook{{Name: "crm", URL: crm.URL, Events: []string{"call.cleared"}, SecretFiles: []string{"/does/not/exist"}}}
	broken.Policy.Threshold = 0.1
	if err := s.app.Reload(t.Context(), broken, tokens); err == nil || !strings.Contains(err.Error(), "webhooks[0].secret_files") {
		t.Errorf("a broken configuration: %v", err)
	}
	if err := s.app.Reload(t.Context(), cfg, nil); err == nil || !strings.Contains(err.Error(), "hint: restart callscreen") {
		t.Errorf("authentication turned off: %v", err)
	}
	if code, _ := s.get("GET", "/api/v1/calls", "old"); code != 200 {
		t.Errorf("the old token: HTTP %d", code)
	}
	good := cfg
	good.Policy.Threshold, good.Webhooks, good.Listen = 0.98, broken.Webhooks, "127.0.0.1:1"
	good.Webhooks[0].SecretFiles = []string{secret}
	if err := s.app.Reload(t.Context(), good, tokens); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"old": 403, "new": 200} {
		if code, _ := s.get("GET", "/api/v1/calls", token); code != want {
			t.Errorf("token %s: HTTP %d, want %d", token, code, want)
		}
	}
	done.Wait()
	r := s.ended("on")
	if got := time.Duration(r.Duration).Seconds(); r.Decision != "clear" || r.Threshold != 0.98 || got < 8.95 || got > 9.05 {
		t.Errorf("%+v", r)
	}
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Error("the new webhook was not told")
	}
	if log := s.log.String(); !strings.Contains(log, "policy_version=2") || !strings.Contains(log, "sections=[listen]") {
		t.Error(log)
	}
}
