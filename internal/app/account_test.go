package app_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// delayed waits until /readyz gives a reason of a delay, and returns its text.
func (s *sidecar) delayed(reason string) (text string) {
	s.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		code, a := s.get("GET", "/readyz", "")
		if code != http.StatusOK {
			s.t.Fatalf("HTTP %d: %v", code, a)
		}
		if delays, ok := a["delayed"].(map[string]any); ok {
			if text, ok := delays[reason].(string); ok {
				return text
			}
		}
		if time.Now().After(end) {
			s.t.Fatalf("no %s in %v", reason, a)
		}
	}
}

// always answers every upload with a status.
func always(status int) simulator.Script {
	return simulator.Script{Outages: []simulator.Outage{{Submit: &simulator.Answer{Status: status}}}}
}

// Readiness and metrics name an account without credit. Calls are recorded meanwhile.
func TestReadinessNamesAnAccountWithoutCredit(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, always(http.StatusPaymentRequired), nil, nil)
	if sum, _ := s.play(t.Context(), demo.Human, "call-1", "caller", 8, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	if text := s.delayed("account"); !strings.Contains(text, "no credit") || !strings.Contains(text, "(hint: ") {
		t.Error(text)
	}
	f := s.scrape()
	if f.value("callscreen_analysis_account_refused") != 1 || f.value("callscreen_backlog_segments", "state", "recorded") < 1 {
		t.Error("the metrics do not show it")
	}
}

// Readiness and metrics name segments that wait for a person.
func TestReadinessNamesSegmentsInDoubt(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, always(http.StatusGatewayTimeout), nil, nil)
	s.errors = 1 // submissions are suspended
	if sum, _ := s.play(t.Context(), demo.Human, "call-1", "caller", 5, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	if text := s.delayed("in_doubt"); !strings.Contains(text, "segments that wait for a person: 1") {
		t.Error(text)
	}
	f := s.scrape()
	if f.value("callscreen_segments_held") != 1 || f.value("callscreen_analysis_resends_total") != 1 {
		t.Error("the metrics do not show it")
	}
	if r := s.ended("call-1"); r.Decision != "inconclusive" || r.Segments[0].Reason != "in_doubt" {
		t.Errorf("%+v", r)
	}
}
