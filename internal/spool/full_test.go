//go:build linux

package spool_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"callscreen/internal/spool"
)

// On a full disk a new entry is refused and leaves nothing behind, confirmed entries stay complete, and recording
// continues after space is freed.
func TestADiskThatIsFull(t *testing.T) {
	dir := t.TempDir()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	if err := syscall.Mount("callscreen-test", dir, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Skip("a small disk cannot be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := open(t, filepath.Join(dir, "spool"), spool.Config{})
	put(t, s, "promised", "{}", 100_000)
	before := files(t, filepath.Join(dir, "spool"))
	for range 3 {
		err := s.Put("too-large", 0, wav(200_000), text("{}"))
		if !errors.Is(err, spool.ErrNoSpace) || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "(hint: ") ||
			strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
		if got := files(t, filepath.Join(dir, "spool")); got != before || s.Stats().Bytes != 100_002 {
			t.Errorf("left behind: %s, %+v", got, s.Stats())
		}
	}
	// Without space for the document, its audio is removed too.
	filler := filepath.Join(dir, "filler")
	fill(t, filler, 8<<10)
	if err := s.Put("no-document", 0, wav(4<<10), text(strings.Repeat("d", 8<<10))); !errors.Is(err, spool.ErrNoSpace) {
		t.Errorf("%v", err)
	}
	if err := s.Put("promised", 0, nil, text(strings.Repeat("d", 64<<10))); !errors.Is(err, spool.ErrNoSpace) {
		t.Errorf("%v", err)
	}
	if got := files(t, filepath.Join(dir, "spool")); got != before || s.Stats().Bytes != 100_002 {
		t.Errorf("left behind: %s, %+v", got, s.Stats())
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	put(t, s, "again", "{}", 50_000)
	if data, err := os.ReadFile(s.AudioPath("promised")); err != nil || len(data) != 100_000 {
		t.Error(len(data), err)
	}
}

// fill writes until only the given space is free.
func fill(t *testing.T, path string, leave int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		t.Fatal(err)
	}
	n := int64(st.Bavail)*st.Bsize - leave
	if err := os.WriteFile(path, make([]byte, n), 0o600); err != nil {
		t.Fatal(err)
	}
}
