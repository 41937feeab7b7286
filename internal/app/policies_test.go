package app_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store"
	"callscreen/policy"
)

// A node of the same database that decides by another policy is an error of /readyz and a metric. Calls are still accepted.
func TestReadinessNamesNodesWithOtherPolicies(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	if code, a := s.get("GET", "/readyz", ""); code != http.StatusOK || a["errors"] != nil {
		t.Errorf("alone: HTTP %d %v", code, a)
	}
	db, err := store.Open(t.Context(), store.Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other := policy.Default()
	other.Threshold = 0.9
	body, err := json.Marshal(other)
	if err != nil {
		t.Fatal(err)
	}
	version, err := db.UsePolicy(t.Context(), body, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Heartbeat(t.Context(), "node-b", version); err != nil {
		t.Fatal(err)
	}
	want := "nodes decide by different policies: " + s.app.Node() + " by 1, node-b by 2"
	var text string
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end) && text == ""; time.Sleep(50 * time.Millisecond) {
		code, a := s.get("GET", "/readyz", "")
		if code != http.StatusOK || a["ready"] != true {
			t.Fatalf("HTTP %d %v", code, a)
		}
		if errs, ok := a["errors"].(map[string]any); ok {
			text, _ = errs["policy"].(string)
		}
	}
	if !strings.HasPrefix(text, want) || !strings.Contains(text, "(hint: ") {
		t.Errorf("%q, want %q", text, want)
	}
	if n := s.scrape().value("callscreen_policies_in_force"); n != 2 {
		t.Errorf("%v policies in force, want 2", n)
	}
}
