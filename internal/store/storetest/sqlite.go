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

// template is an empty SQLite database. Creating one takes longer than most tests.
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

// Empty copies an empty database into a directory, unless there is one. Creating its tables is slower, under the race
// detector by seconds.
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

// SQLite opens the database in a directory, which it creates if necessary, and closes it at the end of the test if the
// test has not done so.
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
