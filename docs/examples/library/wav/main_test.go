package main

import (
	"net/http/httptest"
	"path/filepath"
	"testing"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/policy"
)

// The simulator gives the synthetic fixture a high score because of its marker tone, and the human one a low score.
func TestFixtures(t *testing.T) {
	api := httptest.NewServer(simulator.New(simulator.Script{}))
	defer api.Close()
	client, err := analyzer.New("any-key", &analyzer.Options{BaseURL: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for file, want := range map[string]policy.Outcome{
		"synthetic.wav": policy.OutcomeFlagged,
		"human.wav":     policy.OutcomeClear,
		"ringback.wav":  policy.OutcomeInconclusive, // nothing to analyse is not clear
	} {
		decision, err := screen(t.Context(), client, filepath.Join("..", "..", "..", "..", "testdata", "audio", file))
		if err != nil || decision.Outcome != want {
			t.Errorf("%s: %v %v %v, want %v", file, decision.Outcome, decision.Reasons, err, want)
		}
	}
	if _, err := screen(t.Context(), client, "absent.wav"); err == nil {
		t.Error("a file that does not exist is no error")
	}
}
