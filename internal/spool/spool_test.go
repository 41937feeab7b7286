package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"callscreen/internal/spool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, dir string, cfg spool.Config) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// wav writes the given number of bytes.
func wav(n int) func(*os.File) error {
	return func(f *os.File) error { _, err := f.Write(bytes.Repeat([]byte("a"), n)); return err }
}

func text(s string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(s), nil }
}

func put(t testing.TB, s *spool.Spool, id, document string, audio int) {
	t.Helper()
	var write func(*os.File) error
	if audio > 0 {
		write = wav(audio)
	}
	if err := s.Put(id, int64(audio), write, text(document)); err != nil {
		t.Fatal(err)
	}
}

// files returns the files of a directory with their sizes.
func files(t testing.TB, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range list {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if f.IsDir() {
			names = append(names, f.Name()+"/")
			continue
		}
		names = append(names, fmt.Sprintf("%s:%d", f.Name(), info.Size()))
	}
	return strings.Join(names, " ")
}

func TestWhatWasPutIsReadAndRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "some", "spool")
	s := open(t, dir, spool.Config{})
	if s.Stats().Free <= 0 {
		t.Error("the system does not say how much is free")
	}
	put(t, s, "a-1", `{"a":1}`, 100)
	put(t, s, "b-2", `{"b":2}`, 0)
	for range 2 { // the second time after a restart
		if got := files(t, dir); got != "a-1.json:7 a-1.wav:100 b-2.json:7" {
			t.Error(got)
		}
		list := s.Entries()
		if len(list) != 2 || list[0].ID != "a-1" || !list[0].Audio || list[0].Bytes != 107 || list[0].At.IsZero() || list[1].ID != "b-2" ||
			list[1].Audio ||
			list[1].Bytes != 7 {
			t.Errorf("%+v", list)
		}
		if st := s.Stats(); st.Entries != 2 || st.Bytes != 114 || !st.Oldest.Equal(list[0].At) {
			t.Errorf("%+v", st)
		}
		if data, err := s.Document("a-1"); err != nil || string(data) != `{"a":1}` {
			t.Error(string(data), err)
		}
		if data, err := os.ReadFile(s.AudioPath("a-1")); err != nil || len(data) != 100 {
			t.Error(len(data), err)
		}
		s = open(t, dir, spool.Config{})
	}
	if _, err := s.Document("c-3"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, id := range []string{"a-1", "a-1", "c-3", "b-2"} {
		if err := s.Remove(id); err != nil {
			t.Error(err)
		}
	}
	if st := s.Stats(); st.Entries != 0 || st.Bytes != 0 || !st.Oldest.IsZero() || files(t, dir) != "" {
		t.Errorf("%+v %s", st, files(t, dir))
	}
}

func TestADocumentIsReplacedAndItsAudioLetGoOf(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, spool.Config{})
	put(t, s, "a", "first", 0)
	put(t, s, "a", "the second one", 0)
	put(t, s, "b", "with audio", 50)
	if err := s.Put("b", 10, wav(10), text("again")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("the audio of an entry was written twice: %v", err)
	}
	put(t, s, "b", "given up", 0)
	if got := files(t, dir); got != "a.json:14 b.json:8" || s.Stats().Bytes != 22 || s.Entries()[1].Audio {
		t.Errorf("%s %+v", got, s.Stats())
	}
}

func TestNobodyElseMayRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "lost.wav"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, open(t, dir, spool.Config{}), "a", "{}", 10)
	put(t, open(t, filepath.Join(dir, "new"), spool.Config{}), "a", "{}", 10)
	for path, want := range map[string]fs.FileMode{"new": 0o700, "orphans": 0o700, "a.wav": 0o600, "a.json": 0o600, "new/a.wav": 0o600} {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
}

// A process that dies at any point of Put leaves files that Open repairs or moves aside.
func TestWhatAProcessThatDiedHasLeft(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{
		"writing.wav.tmp": 5, "writing2.wav": 6, "writing2.json.tmp": 1, // no document: nothing was promised
		"whole.wav": 100, "whole.json": 10, "note.json": 3, // promised
		"removing.json": 4, // its audio is gone already
		"Read Me.json":  9, "notes.txt": 8,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s := open(t, dir, spool.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if got := files(t, dir); got != "Read Me.json:9 note.json:3 notes.txt:8 orphans/ removing.json:4 whole.json:10 whole.wav:100" {
		t.Error(got)
	}
	if got := files(t, filepath.Join(dir, "orphans")); got != "writing2.wav:6" {
		t.Error(got)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), filepath.Join("orphans", "writing2.wav")) ||
		!strings.Contains(log.String(), "hint=") {
		t.Errorf("%s", log.String())
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "Read Me.json") {
		t.Errorf("%s", log.String())
	}
	var ids []string
	for _, e := range s.Entries() {
		ids = append(ids, fmt.Sprintf("%s %v", e.ID, e.Audio))
	}
	if got := strings.Join(ids, ", "); got != "note false, removing false, whole true" || s.Stats().Bytes != 117 {
		t.Errorf("%s %+v", got, s.Stats())
	}
}

func TestIdsThatArePathsAreRefused(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(outside, "spool")
	s := open(t, dir, spool.Config{})
	if err := os.WriteFile(filepath.Join(outside, "x.json"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := files(t, outside)
	for _, id := range []string{"", ".", "..", "../x", "a/b", "/etc/x", `a\b`, "A", "a.b", "a b", "a\x00", "ä", strings.Repeat("a", 201)} {
		if err := s.Put(id, 10, wav(10), text("{}")); err == nil {
			t.Errorf("%q was taken", id)
		}
		if data, err := s.Document(id); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q was read: %s %v", id, data, err)
		}
		if err := s.Remove(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	if files(t, outside) != before || files(t, dir) != "" || s.Stats().Bytes != 0 {
		t.Error(files(t, outside), files(t, dir))
	}
	put(t, s, strings.Repeat("a", 200), "{}", 1)
}

// An entry whose write failed does not exist, and occupies no space.
func TestNothingIsLeftOfWhatFailed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, spool.Config{MaxBytes: 1000})
	put(t, s, "old", "old", 0)
	broken := errors.New("broken")
	half := func(f *os.File) error { return errors.Join(wav(50)(f), broken) }
	closed := func(f *os.File) error { return errors.Join(wav(50)(f), f.Close()) }
	bad := func() ([]byte, error) { return nil, broken }
	for name, try := range map[string]func() error{
		"the audio":                         func() error { return s.Put("a", 50, half, text("{}")) },
		"the file of the audio":             func() error { return s.Put("b", 50, closed, text("{}")) },
		"the document after the audio":      func() error { return s.Put("c", 50, wav(50), bad) },
		"the document":                      func() error { return s.Put("d", 0, nil, bad) },
		"the document of one that is there": func() error { return s.Put("old", 0, nil, bad) },
	} {
		err := try()
		if err == nil || name != "the file of the audio" && !errors.Is(err, broken) || errors.Is(err, spool.ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
		if got := files(t, dir); got != "old.json:3" || s.Stats().Bytes != 3 || len(s.Entries()) != 1 {
			t.Errorf("%s left %s, %+v", name, got, s.Stats())
		}
	}
	put(t, s, "e", "{}", 990) // the room is free again
}

func TestRecordingStopsBeforeTheDiskIsFull(t *testing.T) {
	const mb = 1_000_000
	free := int64(510 * mb)
	var freeErr error
	dir := t.TempDir()
	s := open(t, dir, spool.Config{MinFree: 500 * mb, Free: func(d string) (int64, error) {
		if d != dir {
			t.Error(d)
		}
		return free, freeErr
	}})
	if err := s.Room(); err != nil || s.Stats().Free != free {
		t.Error(err)
	}
	if err := s.Put("a", 10*mb, wav(1), text("{}")); err != nil {
		t.Error(err)
	}
	refused := s.Put("b", 10*mb+1, wav(1), text("{}"))
	free = 499 * mb
	for _, err := range []error{refused, s.Put("c", 1, wav(1), text("{}")), s.Room()} {
		if !errors.Is(err, spool.ErrNoSpace) || !strings.Contains(err.Error(), "(hint: ") || strings.Contains(err.Error(), "\n") {
			t.Error(err)
		}
	}
	free = 0
	put(t, s, "note", "no audio, but that is noted", 0)
	freeErr = errors.New("no idea")
	if err := s.Put("d", 1, wav(1), text("{}")); !errors.Is(err, freeErr) || s.Stats().Free != -1 {
		t.Error(err)
	}
	if len(s.Entries()) != 2 {
		t.Errorf("%+v", s.Entries())
	}
}

func TestASpoolGrowsNoLargerThanItMay(t *testing.T) {
	s := open(t, t.TempDir(), spool.Config{MaxBytes: 1000})
	put(t, s, "a", "{}", 900)
	if err := s.Room(); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		s.Put("b", 99, wav(99), text("{}")),
		func() error { put(t, s, "c", strings.Repeat("n", 200), 0); return s.Room() }(),
	} {
		if !errors.Is(err, spool.ErrFull) || !strings.Contains(err.Error(), "(hint: ") {
			t.Error(err)
		}
	}
	if err := s.Remove("a"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "b", "{}", 700)
}

// Concurrent writers do not use the same space.
func TestRoomIsGivenOnce(t *testing.T) {
	s := open(t, t.TempDir(), spool.Config{MaxBytes: 10_000})
	writing, proceed := make(chan struct{}), make(chan struct{})
	var one sync.WaitGroup
	one.Go(func() {
		if err := s.Put("slow", 6000, func(f *os.File) error { close(writing); <-proceed; return wav(6000)(f) }, text("{}")); err != nil {
			t.Error(err)
		}
	})
	<-writing
	if err := s.Put("second", 6000, wav(6000), text("{}")); !errors.Is(err, spool.ErrFull) {
		t.Error(err)
	}
	put(t, s, "third", "{}", 3000)
	close(proceed)
	one.Wait()
	if st := s.Stats(); st.Bytes != 9004 || st.Entries != 2 {
		t.Errorf("%+v", st)
	}
}
