package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
)

// An export whose reader does not go on ends its snapshot, so that the WAL shrinks again while it hangs.
func TestAStalledExportDoesNotHoldTheWAL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir, Owner: true})
	reader := open(t, store.Options{Dir: dir, ExportStall: 100 * time.Millisecond})
	ctx := t.Context()
	write := func(n int) {
		t.Helper()
		for i := range n {
			line := store.Line{At: time.Now(), Actor: "a", What: "b", Detail: store.Detail{"text": strings.Repeat("x", 20_000), "n": i}}
			if err := s.AddAudit(ctx, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(3)
	hanging, release, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		first := true
		done <- reader.Export(ctx, func(string, map[string]any) error {
			if first {
				first = false
				close(hanging)
				<-release
			}
			return nil
		})
	}()
	<-hanging
	wal := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "callscreen.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	// The WAL is written from its start again at 4 MB. With a snapshot they could not, and each round would add 4 MB.
	for end := time.Now().Add(time.Minute); ; {
		before := wal()
		write(300)
		if wal() <= before {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the WAL has %d bytes", wal())
		}
	}
	close(release)
	if err := <-done; !errors.Is(err, store.ErrStalled) || !strings.Contains(err.Error(), "(hint: ") {
		t.Error(err)
	}
}

// The audit is read page by page. A visitor that is slow sees each line once.
func TestTheAuditIsReadInPages(t *testing.T) {
	t.Parallel()
	s := open(t, store.Options{Dir: t.TempDir(), Owner: true})
	const lines = 1203
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range lines {
			if err := tx.Audit(t.Context(), store.Line{At: time.Now(), Actor: "a", What: "b", Call: fmt.Sprint(i % 2)}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for call, want := range map[string]int{"": lines, "0": lines/2 + 1, "1": lines / 2} {
		n, last := 0, int64(0)
		if err := s.Audit(t.Context(), call, func(l store.Line) error {
			if l.Seq <= last {
				t.Errorf("line %d after %d", l.Seq, last)
			}
			n, last = n+1, l.Seq
			return nil
		}); err != nil || n != want {
			t.Errorf("%q: %d of %d lines, %v", call, n, want, err)
		}
	}
}
