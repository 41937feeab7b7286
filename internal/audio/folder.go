package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
)

// Folder stores audio in a directory.
type Folder struct {
	dir string

	mu     sync.Mutex
	opened *os.Root
}

// NewFolder opens a directory, which it creates if necessary.
func NewFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create audio directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open audio directory: %w", err)
	}
	return &Folder{dir: dir, opened: root}, nil
}

// Close closes the directory.
func (f *Folder) Close() error { return f.root().Close() }

func (f *Folder) root() *os.Root {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.opened
}

// Reopen opens the directory again: another one may have been mounted at its path.
func (f *Folder) Reopen() error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("open audio directory: %w", err)
	}
	f.mu.Lock()
	before := f.opened
	f.opened = root
	f.mu.Unlock()
	return before.Close()
}

// Put implements Store. On the same file system it makes a hard link, which copies no data.
func (f *Folder) Put(_ context.Context, key, file string) error {
	if !fs.ValidPath(key) {
		return fmt.Errorf("%q is not a valid audio key", key)
	}
	sub := path.Dir(key)
	if err := f.root().MkdirAll(sub, 0o700); err != nil {
		return fmt.Errorf("store audio %s: %w", key, err)
	}
	err := os.Link(file, filepath.Join(f.dir, filepath.FromSlash(key)))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, gone := os.Stat(file); errors.Is(gone, fs.ErrNotExist) {
			return fmt.Errorf("store audio %s: %w: %w", key, ErrNotFound, err)
		}
		if err = f.copy(key, file); err != nil {
			return fmt.Errorf("store audio %s: %w", key, err)
		}
	}
	if _, err := f.root().Stat(key); err != nil { // the path leads to another directory than the open one: it was unmounted
		return fmt.Errorf("store audio %s: it cannot be seen after it was written: %w", key, err)
	}
	return f.sync(sub)
}

func (f *Folder) copy(key, file string) (err error) {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	temp := key + ".tmp"
	out, err := f.root().OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return errors.Join(err, f.root().Remove(temp))
	}
	return f.root().Rename(temp, key)
}

// sync makes the names in a subdirectory durable, and the name of the subdirectory.
func (f *Folder) sync(sub string) error {
	for _, name := range []string{sub, "."} {
		d, err := f.root().Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, key string) (Object, int64, error) {
	file, err := f.root().Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%w: %s", ErrNotFound, key)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, file.Close())
	}
	return file, info.Size(), nil
}

// Delete implements Store.
func (f *Folder) Delete(_ context.Context, key string) error {
	if err := f.root().Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete audio: %w", err)
	}
	return nil
}

// Check implements Store.
func (f *Folder) Check(context.Context) error {
	_, err := f.root().Stat(".")
	return err
}
