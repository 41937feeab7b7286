package audio_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/audio"
)

// book is the part of a database that Marked stores ask.
type book struct {
	mu       sync.Mutex
	identity string
	samples  []string
}

func (b *book) marked(t *testing.T, dir, proposal string) *audio.Marked {
	t.Helper()
	folder, err := audio.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := audio.NewMarked(folder, audio.MarkedConfig{
		Identity: func(_ context.Context, proposal string) (string, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if b.identity == "" {
				b.identity = proposal
			}
			return b.identity, nil
		},
		Samples:  func(context.Context) ([]string, error) { return b.samples, nil },
		Proposal: proposal,
		Temp:     t.TempDir(),
	})
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func wavFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "a.wav")
	if err := os.WriteFile(file, []byte("RIFF"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestANodeWithAnotherStoreTouchesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shared, elsewhere := t.TempDir(), t.TempDir()
	var b book
	first, second, third := b.marked(t, shared, "one"), b.marked(t, shared, "two"), b.marked(t, elsewhere, "three")
	const key = "ab/abcdef.wav"
	if err := first.Put(ctx, key, wavFile(t)); err != nil {
		t.Fatal(err)
	}
	// Also while there is no audio, because all of it was deleted.
	if err := third.Verify(ctx); !errors.Is(err, audio.ErrForeign) {
		t.Errorf("an empty directory was taken for a new store: %v", err)
	}
	b.samples = []string{key}
	if o, _, err := second.Open(ctx, key); err != nil || o.Close() != nil || second.Verify(ctx) != nil {
		t.Fatalf("the same directory: %v, %v", err, second.Fault())
	}
	if _, _, err := second.Open(ctx, "ab/none.wav"); !errors.Is(err, audio.ErrNotFound) {
		t.Errorf("missing audio in the right store: %v", err)
	}
	if _, _, err := third.Open(ctx, key); !errors.Is(err, audio.ErrForeign) || errors.Is(err, audio.ErrNotFound) {
		t.Errorf("audio is missing from a directory that is not mounted: %v", err)
	}
	file := wavFile(t)
	if err := third.Put(ctx, "cd/new.wav", file); !errors.Is(err, audio.ErrForeign) || errors.Is(err, audio.ErrNotFound) {
		t.Errorf("audio was put into a directory that is not mounted: %v", err)
	}
	if err := third.Delete(ctx, key); !errors.Is(err, audio.ErrForeign) {
		t.Errorf("audio was deleted from a directory that is not mounted: %v", err)
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := third.Fault(); !errors.Is(err, audio.ErrForeign) || !strings.Contains(err.Error(), "(hint: ") {
		t.Errorf("fault: %v", err)
	}
	// Mounted at last: as the operator is told, or with the audio.
	marker, err := os.ReadFile(filepath.Join(shared, audio.MarkerKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(elsewhere, audio.MarkerKey), marker, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(third.Put(ctx, "cd/new.wav", file), third.Verify(ctx), third.Fault()); err != nil {
		t.Error(err)
	}
}

func TestAudioIsNotStoredBelowAMountPoint(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "audio")
	var b book
	m := b.marked(t, dir, "one")
	if err := m.Put(ctx, "ab/a.wav", wavFile(t)); err != nil {
		t.Fatal(err)
	}
	b.samples = []string{"ab/a.wav"}
	if err := os.Rename(dir, dir+"-unmounted"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Put(ctx, "ab/b.wav", wavFile(t)); errors.Is(err, audio.ErrNotFound) {
		t.Errorf("audio is said to be missing from the spool: %v", err)
	} else if err == nil {
		if _, err := os.Stat(filepath.Join(dir+"-unmounted", "ab", "b.wav")); err != nil {
			t.Errorf("audio was stored elsewhere: %v", err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("stored below the mount point: %v, %v", left, err)
	}
}

// A directory that is mounted while the program runs is seen without a restart.
func TestADirectoryThatIsMountedLateIsSeen(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := filepath.Join(t.TempDir(), "audio")
	var b book
	first := b.marked(t, dir, "one")
	if err := first.Put(ctx, "ab/a.wav", wavFile(t)); err != nil {
		t.Fatal(err)
	}
	b.samples = []string{"ab/a.wav"}
	if err := os.Rename(dir, dir+"-not-mounted"); err != nil {
		t.Fatal(err)
	}
	late := b.marked(t, dir, "two")
	if err := late.Verify(ctx); !errors.Is(err, audio.ErrForeign) {
		t.Errorf("before: %v", err)
	}
	if err := errors.Join(os.Remove(dir), os.Rename(dir+"-not-mounted", dir), late.Verify(ctx)); err != nil {
		t.Error(err)
	}
}

// A store of an earlier version has no marker. Its audio shows that it is the right one.
func TestAStoreWithItsAudioIsMarked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	folder, err := audio.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	if err := folder.Put(ctx, "ab/a.wav", wavFile(t)); err != nil {
		t.Fatal(err)
	}
	b := book{samples: []string{"ab/gone.wav", "ab/a.wav"}}
	empty := b.marked(t, t.TempDir(), "empty") // starts first
	if err := empty.Verify(ctx); !errors.Is(err, audio.ErrForeign) {
		t.Errorf("an empty store was taken for the one with the audio: %v", err)
	}
	if err := b.marked(t, dir, "right").Verify(ctx); err != nil {
		t.Error(err)
	}
}
