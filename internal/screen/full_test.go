//go:build linux

package screen_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callscreen/internal/spool"
)

// If the disk has no room even for a document, a lost segment and the end of its call are kept in memory until there is room.
func TestADiskOnWhichNoNoteFits(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	small := filepath.Join(dir, "spool")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("callscreen-test", small, "tmpfs", 0, "size=256k,mode=0700"); err != nil {
		t.Skip("a small disk cannot be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	n := newNode(t, options{dir: dir})
	p := n.part("a", 0)
	if err := n.courier.Take(p, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	filler := filepath.Join(small, "filler.txt")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil { // fills the disk
		t.Fatal("the disk is not small")
	}
	if err := n.courier.Take(p, piece("caller", 1)); !errors.Is(err, spool.ErrNoSpace) || !strings.Contains(err.Error(), "kept in memory") {
		t.Error(err)
	}
	if err := n.courier.Take(p, silence("caller", 2)); !errors.Is(err, spool.ErrNoSpace) {
		t.Error(err)
	}
	p.EndedAt = time.UnixMilli(p.Part + 60_000).UTC()
	if err := n.courier.Progress(p); !errors.Is(err, spool.ErrNoSpace) {
		t.Error(err)
	}
	n.drain()
	n.work(nil)
	r := n.final("a")
	if states(r) != "caller0 scored, caller1 failed/storage, caller2 skipped/too_little_speech" || r.Decision != "inconclusive" {
		t.Errorf("%s %+v", states(r), r)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(small); err != nil || len(list) != 0 {
		t.Errorf("still in the spool: %v %v", list, err)
	}
}
