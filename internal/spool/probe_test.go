//go:build linux

package spool_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callscreen/internal/spool"
)

// mounted returns a directory on a small disk of its own.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir := t.TempDir()
	if err := syscall.Mount("callscreen-test", dir, "tmpfs", 0, options+",mode=0700"); err != nil {
		t.Skip("a small disk cannot be mounted: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A disk with free space can refuse writes. The last write decides whether there is room, and a probe ends that.
func TestRoomFollowsTheLastWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options     string
		spoil, mend func(t *testing.T, dir string)
		sort        error
	}{
		"no inodes": {
			options: "size=16m,nr_inodes=40",
			spoil: func(t *testing.T, dir string) {
				for i := range 100 {
					if err := os.WriteFile(filepath.Join(dir, "filler-"+strconv.Itoa(i)), nil, 0o600); err != nil {
						return
					}
				}
				t.Fatal("inodes are left")
			},
			mend: func(t *testing.T, dir string) {
				all, err := filepath.Glob(filepath.Join(dir, "filler-*"))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range all {
					if err := os.Remove(f); err != nil {
						t.Fatal(err)
					}
				}
			},
			sort: spool.ErrNoSpace,
		},
		"read-only": {
			options: "size=16m",
			spoil: func(t *testing.T, dir string) {
				if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			},
			mend: func(t *testing.T, dir string) {
				if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, ""); err != nil {
					t.Fatal(err)
				}
			},
			sort: spool.ErrUnwritable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := mounted(t, c.options)
			s := open(t, filepath.Join(dir, "spool"), spool.Config{MinFree: 1 << 20})
			put(t, s, "promised", "{}", 1000)
			c.spoil(t, dir)
			if left, err := spool.Free(dir); err != nil || left < 8<<20 {
				t.Fatalf("%d bytes free, %v: this is not the case", left, err)
			}
			if err := s.Put("refused", 1000, wav(1000), text("{}")); !errors.Is(err, c.sort) || !strings.Contains(err.Error(), "(hint: ") {
				t.Errorf("put: %v", err)
			}
			if err := s.Room(); !errors.Is(err, c.sort) {
				t.Errorf("there is room after a write that failed: %v", err)
			}
			if err := s.Probe(); !errors.Is(err, c.sort) || !errors.Is(s.Room(), c.sort) {
				t.Errorf("probe: %v, room: %v", err, s.Room())
			}
			c.mend(t, dir)
			ctx, stop := context.WithCancel(t.Context())
			watching := make(chan struct{})
			go func() { s.Watch(ctx); close(watching) }()
			for end := time.Now().Add(time.Minute); s.Room() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no room after the fault has ended: %v", s.Room())
				}
			}
			stop()
			<-watching
			put(t, s, "again", "{}", 1000)
			// A fault of an idle disk is noticed without a call.
			c.spoil(t, dir)
			if err := s.Probe(); err == nil || s.Room() == nil {
				t.Errorf("a probe did not notice the fault: %v", err)
			}
			c.mend(t, dir)
			if err := s.Probe(); err != nil || s.Room() != nil {
				t.Errorf("%v, %v", err, s.Room())
			}
		})
	}
}
