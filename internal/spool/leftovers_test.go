package spool_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/spool"
)

// Files that no entry has are listed, and nothing else: not what is being written, and not what waits for its delivery.
func TestLeftoversAreListed(t *testing.T) {
	dir := t.TempDir()
	if names, err := spool.Leftovers(filepath.Join(dir, "none"), nil); err != nil || names != nil {
		t.Error(names, err)
	}
	for name, c := range map[string]struct {
		text string
		old  bool
	}{
		"waiting.json":         {`{"call":"c"}`, true},
		"waiting.wav":          {"RIFF", true},
		"broken.json":          {`{"call":"c`, true},
		"broken.wav":           {"RIFF", true},
		"nonsense.json":        {`{"call":""}`, false},
		"fresh.wav":            {"RIFF", false},
		"alone.wav":            {"RIFF", true},
		"fresh.wav.tmp":        {"RI", false},
		"seal-1.tmp":           {"RI", true},
		"Read Me.json":         {"{}", false},
		"notes.txt":            {"x", false},
		"orphans/promised.wav": {"RIFF", true},
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.old {
			before := time.Now().Add(-2 * time.Hour)
			if err := os.Chtimes(path, before, before); err != nil {
				t.Fatal(err)
			}
		}
	}
	names, err := spool.Leftovers(dir, func(_ string, data []byte) bool { return !bytes.Contains(data, []byte(`""`)) })
	want := "Read Me.json alone.wav broken.json broken.wav nonsense.json notes.txt orphans/promised.wav seal-1.tmp"
	if got := strings.Join(names, " "); err != nil || got != want {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
}

// A leftover is deleted with the accounts of its entry.
func TestLeftoversAreDeleted(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, spool.Config{})
	put(t, s, "kept", "{}", 10)
	put(t, s, "broken", "{", 100)
	for _, name := range []string{"broken.json", "broken.wav", "broken.wav"} {
		if err := s.RemoveLeftover(name); err != nil {
			t.Error(err)
		}
	}
	if got := files(t, dir); got != "kept.json:2 kept.wav:10" || s.Stats().Entries != 1 || s.Stats().Bytes != 12 {
		t.Errorf("%s %+v", got, s.Stats())
	}
}
