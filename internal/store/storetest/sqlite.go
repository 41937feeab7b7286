package storetest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"callscreen/internal/store"
)

// template is an empty SQLite database. To make one takes longer than most tests.
var template = sync.OnceValues(func() (data []byte, err error) {
	dir, err := os.MkdirTemp("", "callscreen-template-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "callscreen.db"))
})

// Empty puts an empty database into a folder, unless there is one. Making its tables takes longer, under the race detector
// for seconds.
func Empty(t testing.TB, dir string) {
	t.Helper()
	path := filepath.Join(dir, "callscreen.db")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	data, err := template()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// SQLite opens the database in a folder, which is made if it is not there, and closes it at the end of the test if that
// has not been done by then.
func SQLite(t testing.TB, dir string) *store.Store {
	t.Helper()
	Empty(t, dir)
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
