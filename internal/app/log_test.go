package app_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bytes"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// Metadata of a call is never logged, at any level and after any error. Log lines about a call hold its id.
func TestNoNumberGetsIntoTheLog(t *testing.T) {
	t.Parallel()
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }))
	defer crm.Close()
	media := httptest.NewServer(http.NotFoundHandler())
	defer media.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(
		t,
		simulator.Script{
			Rules: []simulator.Rule{
				{Result: simulator.Result{Failed: true, ErrorCode: "x", FailedTimes: 1, Score: 0.9}, Submit: &simulator.Answer{Status: 503, Times: 1}},
			},
		},
		nil,
		func(c *config.Config) {
			c.Webhooks = []config.Webhook{
				{Name: "crm", URL: crm.URL, Events: []string{"call.flagged", "segment.scored"}, SecretFiles: []string{secret}},
			}
			c.Retention.Flagged = time.Hour
		},
	)
	if a, body := s.ask("PUT", "/api/v1/log-level", "", `{"level":"debug"}`); a.status != 200 {
		t.Fatalf("HTTP %d %s", a.status, body)
	}
	voice, err := publish.Opus(bytes.NewReader(demo.Synthetic))
	if err != nil {
		t.Fatal(err)
	}
	voice.Packets = voice.Packets[:12*50]
	const number = "49301234567"
	sum, err := publish.Run(
		t.Context(),
		voice,
		&publish.Options{To: "http://" + s.app.Addr() + "/whip/secretive/caller?from=%2B" + number + "&to=%2B" + number},
	)
	if err != nil || sum.Err() != nil {
		t.Fatal(err, sum.Err())
	}
	s.ask("POST", "/api/v1/calls/secretive/legs/agent/whep?from=%2B"+number, "", `{"url":"`+media.URL+`/whep?from=%2B`+number+`"}`)
	s.ask("POST", "/api/v1/calls/other/legs/agent/whep?from=%2B"+number, "", `{"url":"http://127.0.0.1:1/whep?from=%2B`+number+`"}`)
	for end := time.Now().Add(10 * time.Second); strings.Count(s.log.String(), "WHEP session ended") < 2 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
	}
	for _, call := range []string{"secretive", "other"} {
		s.ask("DELETE", "/api/v1/calls/"+call+"/legs/agent/whep", "", "")
	}
	r := s.ended("secretive")
	if r.Metadata["from"] != "+"+number || r.Decision != "flagged" {
		t.Fatalf("%+v", r.Report)
	}
	s.ask("GET", "/?q=%2B"+number, "", "")
	s.ask("DELETE", "/api/v1/calls/secretive?reason=%2B"+number, "", "")
	s.stop()
	log := s.log.String()
	if strings.Contains(log, number) {
		for line := range strings.Lines(log) {
			if strings.Contains(line, number) {
				t.Errorf("the log holds a telephone number: %s", line)
			}
		}
	}
	for _, want := range []string{
		"level=DEBUG msg=\"segment safe\" call=secretive",
		"msg=\"leg joined\" call=secretive",
		"msg=\"webhook delivery failed\"",
		"segment submission failed",
		"msg=\"WHEP session ended",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not contain %q", want)
		}
	}
	for line := range strings.Lines(log) {
		about := []string{"segment", "leg ", "call ", "webhook message", "WHEP", "track", "session"}
		for _, word := range about {
			if strings.Contains(line, "msg=") && strings.Contains(strings.SplitN(line, "msg=", 2)[1], word) && !strings.Contains(line, " call=") &&
				!strings.Contains(line, "shutting down") &&
				!strings.Contains(line, "pion=") {
				t.Errorf("a line about a call without its id: %s", line)
			}
		}
	}
}
