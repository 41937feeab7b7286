package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/screen"
	"callscreen/internal/screen/month"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, opt store.Options) *store.Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, opt)
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

// past writes and reads stored calls as the pipeline does.
var past = storetest.Past{
	Fill: month.Fill,
	Findings: func(segments []store.SegmentRow) []policy.Finding {
		findings, _ := screen.Findings(segments, true)
		return findings
	},
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) *store.Store { return storetest.SQLite(t, t.TempDir()) }, past)
}

func TestPostgreSQL(t *testing.T) {
	server := storetest.StartPostgres(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Run(t, func(t *testing.T) *store.Store {
			url := server.Database()
			if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
				t.Fatal(err)
			}
			return open(t, store.Options{URL: url, MaxConns: 5})
		}, past)
	})
	t.Run("a schema that is missing is told", func(t *testing.T) {
		_, err := store.Open(t.Context(), store.Options{URL: server.Database()})
		if !errors.Is(err, store.ErrSchema) || !strings.Contains(err.Error(), "callscreen migrate") {
			t.Error(err)
		}
	})
}

func TestTheFolderHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.Open(t.Context(), store.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "there is no database") {
		t.Error(err)
	}
	s := open(t, store.Options{Dir: dir, Owner: true})
	if _, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true}); !errors.Is(err, store.ErrInUse) {
		t.Error(err)
	}
	looking := open(t, store.Options{Dir: dir})
	if err := looking.Ping(t.Context()); err != nil || looking.Shared() {
		t.Error(err)
	}
	info, err := os.Stat(filepath.Join(dir, "callscreen.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, store.Options{Dir: dir, Owner: true})
}

// A manipulation of the audit is detected at the first broken line.
func TestTamperingIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change, want string
		line         int64
	}{
		"a detail":       {"UPDATE audit SET detail = '{\"score\":0.1}' WHERE seq = 3", "was changed", 3},
		"the person":     {"UPDATE audit SET actor = 'somebody else' WHERE seq = 2", "was changed", 2},
		"a missing line": {"DELETE FROM audit WHERE seq = 4", "is missing", 4},
		"the last line":  {"DELETE FROM audit WHERE seq = 5", "the end of the chain is missing", 5},
		"no lines":       {"DELETE FROM audit", "the end of the chain is missing", 1},
		"another chain":  {"UPDATE audit SET previous = hash WHERE seq = 1", "does not follow", 1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, store.Options{Dir: dir, Owner: true})
			for range 5 {
				if err := s.InTx(t.Context(), func(tx *store.Tx) error {
					return tx.Audit(t.Context(), store.Line{At: time.Now(), Actor: "me", What: "x", Detail: store.Detail{"score": 0.9}})
				}); err != nil {
					t.Fatal(err)
				}
			}
			db, err := sql.Open("sqlite", filepath.Join(dir, "callscreen.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(c.change); err != nil {
				t.Fatal(err)
			}
			_, _, err = s.VerifyAudit(t.Context())
			var broken *store.BrokenError
			if !errors.As(err, &broken) || broken.Seq != c.line || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestThePasswordStaysOutOfErrors(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, url := range []string{"postgres://u:geheim@127.0.0.1:1/x", "postgres://u:geheim@127.0.0.1:port/x"} {
		if _, err := store.Open(ctx, store.Options{URL: url}); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Error(err)
		}
	}
}
