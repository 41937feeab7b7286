package app_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/store"
)

// holding returns the files of a directory that hold one of the texts.
func holding(t *testing.T, dir string, texts ...string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if slices.ContainsFunc(texts, func(text string) bool { return bytes.Contains(data, []byte(text)) }) {
			found = append(found, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// A call with a number and a name in its metadata and a note is screened, announced, reviewed and erased. No file of data_dir
// holds any of that then, nor its audio: neither before nor after the stop, and no log line does.
func TestAnErasedCallIsInNoFile(t *testing.T) {
	t.Parallel()
	told := make(chan []byte, 100)
	crm := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		told <- body
	}))
	defer crm.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSidecar(
		t,
		simulator.Script{},
		auth.Tokens{"ingest": "in", "reviewer": "rev", "admin": "adm"},
		func(c *config.Config) {
			c.Webhooks = []config.Webhook{{
				Name:        "crm",
				URL:         crm.URL,
				Events:      []string{"call.flagged", "segment.scored"},
				SecretFiles: []string{secret},
			}}
		},
	)
	personal := []string{"491514711", "Mustermann", "mother's maiden name"}
	leg := "caller?from=491514711&name=Erika+Mustermann"
	if sum, _ := s.play(t.Context(), demo.Synthetic, "c", leg, 8, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	r := s.ended("c")
	if r.Decision != "flagged" || r.Metadata["name"] != "Erika Mustermann" {
		t.Fatalf("%+v", r)
	}
	var flagged []byte
	for deadline := time.After(20 * time.Second); !bytes.Contains(flagged, []byte("Mustermann")); {
		select {
		case flagged = <-told:
		case <-deadline:
			t.Fatal("the call was not announced")
		}
	}
	for _, body := range []string{
		`{"action":"claim","version":1}`,
		`{"action":"dispose","version":2,"disposition":"unsure","note":"asked for the mother's maiden name"}`,
	} {
		if a, text := s.ask("POST", "/api/v1/calls/c/review", "rev", body); a.status != http.StatusOK {
			t.Fatalf("HTTP %d %s", a.status, text)
		}
	}
	for _, text := range personal {
		if holding(t, s.dir, text) == nil {
			t.Errorf("%q is not stored before the erasure", text)
		}
	}
	if a, text := s.ask("DELETE", "/api/v1/calls/c?reason=asked", "adm", ""); a.status != http.StatusNoContent {
		t.Fatalf("HTTP %d %s", a.status, text)
	}
	if found := holding(t, s.dir, append(personal, "WAVEfmt ")...); found != nil {
		t.Errorf("after the erasure: %v", found)
	}
	s.stop()
	if found := holding(t, s.dir, append(personal, "WAVEfmt ")...); found != nil {
		t.Errorf("after the stop: %v", found)
	}
	for _, text := range personal {
		if strings.Contains(s.log.String(), text) {
			t.Errorf("the log holds %q", text)
		}
	}
	db, err := store.Open(t.Context(), store.Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lines, err := db.AuditOf(t.Context(), "c")
	text, _ := json.Marshal(lines)
	if err != nil || !bytes.Contains(text, []byte(store.AuditErased)) {
		t.Errorf("%s %v", text, err)
	}
}
