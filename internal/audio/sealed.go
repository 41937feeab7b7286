package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"callscreen/internal/seal"
)

// Sealed is a store that keeps audio sealed, in another. What is handed to it may be sealed already, and what the other has
// from before it was is read as it is. Without keys it seals nothing, and says so of what is sealed. temp is a folder on the
// disk of the files that are put.
func Sealed(in Store, keys *seal.Keys, temp string) Store {
	return &sealed{Store: in, keys: keys, temp: temp}
}

type sealed struct {
	Store
	keys *seal.Keys
	temp string
}

// Put implements Store.
func (s *sealed) Put(ctx context.Context, key, file string) error {
	if !s.keys.On() {
		return s.Store.Put(ctx, key, file)
	}
	plain, err := s.plain(file)
	if err != nil {
		return fmt.Errorf("seal audio %s: %w", key, err)
	}
	if plain == nil {
		return s.Store.Put(ctx, key, file)
	}
	// It was recorded before there were keys.
	f, err := os.CreateTemp(s.temp, "seal-*.tmp")
	if err != nil {
		return fmt.Errorf("seal audio %s: %w", key, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // the start removes what is left
	err = s.keys.Write(f, plain)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("seal audio %s: %w", key, err)
	}
	return s.Store.Put(ctx, key, f.Name())
}

// plain is what a file holds that is not sealed, nil if it is.
func (s *sealed) plain(file string) ([]byte, error) {
	f, err := os.Open(filepath.Clean(file))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if is, err := seal.Sealed(f, info.Size()); err != nil || is {
		return nil, err
	}
	return io.ReadAll(f)
}

// Open implements Store.
func (s *sealed) Open(ctx context.Context, key string) (Object, int64, error) {
	o, size, err := s.Store.Open(ctx, key)
	if err != nil {
		return nil, 0, err
	}
	content, n, err := s.keys.Open(o, size)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read audio %s: %w", key, err), o.Close())
	}
	return &opened{SectionReader: io.NewSectionReader(content, 0, n), Closer: o}, n, nil
}

// opened is what a sealed file holds.
type opened struct {
	*io.SectionReader
	io.Closer
}
