package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// grep returns the files below a directory that contain one of the texts, with their number there.
func grep(t *testing.T, dir string, texts ...string) (found []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		n := 0
		for _, text := range texts {
			n += bytes.Count(data, []byte(text))
		}
		if n > 0 {
			found = append(found, fmt.Sprintf("%s: %d", d.Name(), n))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

// personal stores an ended call whose rows hold a text: in its metadata, its review, its webhook messages.
func personal(t *testing.T, s *store.Store, call, text string, size int) {
	t.Helper()
	if err := s.InTx(t.Context(), func(tx *store.Tx) error { return personalIn(t.Context(), tx, call, text, size) }); err != nil {
		t.Fatal(err)
	}
}

func personalIn(ctx context.Context, tx *store.Tx, call, text string, size int) error {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := store.Part{
		PartKey:  store.PartKey{Call: call, Part: at.UnixMilli(), Node: "n1"},
		Metadata: map[string]string{"from": text + strings.Repeat("x", size)},
	}
	c, err := tx.Begin(ctx, p)
	if err != nil {
		return err
	}
	p.EndedAt, p.Warnings = at.Add(time.Minute), []string{text + strings.Repeat("w", size/3)}
	if err := tx.Progress(ctx, &c, p); err != nil {
		return err
	}
	c.Summary = []byte(`{"call":"` + text + strings.Repeat("y", 2*size) + `"}`)
	if err := tx.SaveCall(ctx, &c); err != nil {
		return err
	}
	if err := tx.OpenReview(ctx, call, at); err != nil {
		return err
	}
	_, err = tx.AddMessage(ctx, store.Message{
		ID:        "m-" + call,
		Event:     "e",
		Call:      call,
		CreatedAt: at,
		Body:      text + strings.Repeat("z", size),
	}, []string{"crm"})
	return err
}

func erase(t *testing.T, s *store.Store, calls ...string) {
	t.Helper()
	for _, call := range calls {
		if err := s.Erase(t.Context(), store.Erasure{Call: call, Who: "me", Why: "asked", At: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
}

const number, name = "+49 151 4711 0815", "Erika Mustermann"

// After an erasure no file of the database holds the data of the call, whether the process goes on, is stopped, or is killed
// before it has written the WAL back.
func TestErasedDataIsInNoFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir, Owner: true})
	personal(t, s, "other", "somebody else", 500)
	personal(t, s, "c", number+name, 500)
	if len(grep(t, dir, number)) == 0 {
		t.Fatal("the test does not find stored data")
	}
	erase(t, s, "c")
	killed := t.TempDir() // the files that a kill would leave
	for _, file := range []string{"callscreen.db", "callscreen.db-wal"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(killed, file), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Checkpoint(t.Context())
	if found := grep(t, dir, number, name); found != nil {
		t.Errorf("after an erasure: %v", found)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if found := grep(t, dir, number, name); found != nil {
		t.Errorf("after a stop: %v", found)
	}
	if grep(t, killed, number) == nil {
		t.Fatal("the copy is not that of a process that was killed")
	}
	s = open(t, store.Options{Dir: killed, Owner: true})
	if found := grep(t, killed, number, name); found != nil {
		t.Errorf("after a kill and a start: %v", found)
	}
	if _, err := s.Call(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if _, _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}

// While pages of the database are split and filled, copies of rows stay in their unused parts. No erased row is left there.
func TestErasedDataIsInNoUnusedPartOfAPage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir, Owner: true})
	rng := rand.New(rand.NewPCG(1, 2))
	const calls = 2500
	var all, erased []string
	gone := map[string]bool{}
	// left returns the marks of erased calls in the files.
	left := func() (found []string) {
		data, err := os.ReadFile(filepath.Join(dir, "callscreen.db"))
		wal, e := os.ReadFile(filepath.Join(dir, "callscreen.db-wal"))
		if err := errors.Join(err, e); err != nil {
			t.Fatal(err)
		}
		for _, mark := range regexp.MustCompile(`PERSON-\d{4}-`).FindAllString(string(data)+string(wal), -1) {
			if gone[mark] {
				found = append(found, mark)
			}
		}
		return found
	}
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		for i := range calls {
			call, text := fmt.Sprintf("c%x", rng.Uint64()), fmt.Sprintf("PERSON-%04d-", i)
			if err := personalIn(t.Context(), tx, call, text, rng.IntN(600)); err != nil {
				return err
			}
			all = append(all, call)
			if i%2 == 0 {
				erased, gone[text] = append(erased, call), true
			}
		}
		for range 2 * calls { // rows that grow move to other pages
			i := rng.IntN(calls)
			c, err := tx.LockCall(t.Context(), all[i])
			if err != nil {
				return err
			}
			c.Metadata["more"] += fmt.Sprintf("PERSON-%04d-", i) + strings.Repeat("m", rng.IntN(300))
			if err := tx.SaveCall(t.Context(), &c); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	rng.Shuffle(len(erased), func(i, j int) { erased[i], erased[j] = erased[j], erased[i] })
	erase(t, s, erased...)
	s.Checkpoint(t.Context())
	t.Logf("after the checkpoint: %v", left())
	if unclean, err := s.Unclean(t.Context()); err != nil || !unclean {
		t.Error(unclean, err)
	}
	if err := s.Scrub(t.Context(), false, 0); !errors.Is(err, store.ErrUnscrubbed) {
		t.Errorf("without space: %v", err)
	}
	if err := s.Scrub(t.Context(), false, math.MaxInt64); err != nil {
		t.Error(err)
	}
	if found := left(); found != nil {
		t.Errorf("%v", found)
	}
	if unclean, err := s.Unclean(t.Context()); err != nil || unclean {
		t.Error(unclean, err)
	}
	if found := grep(t, dir, "PERSON-0001-"); found == nil {
		t.Error("a call that was not erased is gone")
	}
	// A stop does it too.
	personal(t, s, "last", number, 100)
	erase(t, s, "last")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, store.Options{Dir: dir, Owner: true})
	if unclean, err := s.Unclean(t.Context()); err != nil || unclean {
		t.Error(unclean, err)
	}
}

// A reader with an old snapshot keeps the WAL from being emptied. The next attempt after its end succeeds.
func TestAReaderDelaysTheCheckpoint(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir, Owner: true})
	personal(t, s, "c", number, 100)
	db, err := sql.Open("sqlite", filepath.Join(dir, "callscreen.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := tx.QueryRowContext(t.Context(), "SELECT count(*) FROM call").Scan(&n); err != nil {
		t.Fatal(err)
	}
	erase(t, s, "c")
	s.Checkpoint(t.Context())
	if err := s.Scrub(t.Context(), true, math.MaxInt64); !errors.Is(err, store.ErrUnscrubbed) {
		t.Errorf("while a reader is there: %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context(), true, math.MaxInt64); err != nil {
		t.Error(err)
	}
	if found := grep(t, dir, number); found != nil {
		t.Errorf("%v", found)
	}
}

// A database of a version that did not overwrite deleted rows is rewritten once.
func TestAnOlderDatabaseIsRewritten(t *testing.T) {
	dir := t.TempDir()
	storetest.Empty(t, dir)
	db, err := sql.Open("sqlite", filepath.Join(dir, "callscreen.db")+"?_pragma=secure_delete(0)")
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	for _, q := range []string{
		"CREATE TABLE old (a TEXT)",
		"INSERT INTO old VALUES ('" + number + strings.Repeat("x", 9000) + "')",
		"DROP TABLE old",
		"PRAGMA user_version = 0",
	} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if grep(t, dir, number) == nil {
		t.Fatal("the test has no freed page")
	}
	s := open(t, store.Options{Dir: dir, Owner: true})
	if err := s.Scrub(context.Background(), false, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if found := grep(t, dir, number); found != nil {
		t.Errorf("%v", found)
	}
}

// The tombstones of calls that were erased by an earlier version come from the audit.
func TestEarlierErasuresGetTombstones(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "callscreen.db"))
	if err != nil {
		t.Fatal(err)
	}
	const before = 4 // the last version without tombstones
	p, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	for i, at := range []int64{2000, 1000} {
		if _, err := db.ExecContext(t.Context(), "INSERT INTO audit (seq, at_ms, actor, what, call_id, segment_id, policy_version, detail, "+
			"previous, hash) VALUES ($1, $2, 'me', 'call.erased', 'c', '', 0, '{}', '', '')", i+1, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	s := open(t, store.Options{Dir: dir, Owner: true})
	for part, want := range map[int64]bool{2000: true, 2001: false} {
		if is, err := s.Erased(t.Context(), store.PartKey{Call: "c", Part: part, Node: "n1"}); err != nil || is != want {
			t.Errorf("a part that began at %d is erased: %v, %v", part, is, err)
		}
	}
}
