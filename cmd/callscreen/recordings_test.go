package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCallIDsAreUnique(t *testing.T) {
	for _, files := range [][]string{
		{"b.wav", "b.aiff", "b-2.wav"},
		{"b-2.wav", "b.aiff", "b.wav"},
		{"b.wav", "b-2.wav", "b-3.wav", "x/b.wav", "y/b.wav", "y/b-2.wav"},
		{"a.wav", "A.wav", "a-2.wav", "A-2.wav"},
		{"x/a.wav", "y/a.wav", "z/a.wav", "x/a-2-2.wav", "x/a-2.wav", "y/a-2.wav"},
		{".wav", ".mp3", "-2.wav"},
	} {
		ids := callIDs(files)
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[strings.ToLower(id)] {
				t.Errorf("%q: %q is there twice", files, id)
			}
			seen[strings.ToLower(id)] = true
		}
	}
	if got := callIDs([]string{"x/b.wav", "c.wav", "y/b.wav"}); !slices.Equal(got, []string{"b", "c", "b-2"}) {
		t.Errorf("ids are %q", got)
	}
}

// A recording in a hidden folder is a recording. The other files of hidden folders are passed over.
func TestRecordingsInHiddenFolders(t *testing.T) {
	dir := t.TempDir()
	sound, err := os.ReadFile(filepath.Join("..", "..", "testdata", "audio", "silence.wav"))
	if err != nil {
		t.Fatal(err)
	}
	hidden := filepath.Join(dir, ".trash", "deep")
	if err := os.MkdirAll(hidden, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		filepath.Join(dir, "a.wav"):            sound,
		filepath.Join(hidden, "call.wav"):      sound,
		filepath.Join(hidden, "settings.json"): []byte("{}"),
	} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := recordings([]string{dir})
	want := []string{filepath.Join(hidden, "call.wav"), filepath.Join(dir, "a.wav")}
	slices.Sort(files)
	slices.Sort(want)
	if err != nil || !slices.Equal(files, want) {
		t.Errorf("recordings are %q, %v, not %q", files, err, want)
	}
}
