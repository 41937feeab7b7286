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

// Sealed wraps a store and encrypts its audio. A file passed to Put may be encrypted already. Older plain audio in the
// store is read unchanged. Without keys, Put stores files unchanged, and reading encrypted audio returns seal.ErrKey.
// temp is a directory on the same disk as the files passed to Put.
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
		return fmt.Errorf("encrypt audio %s: %w", key, err)
	}
	if plain == nil {
		return s.Store.Put(ctx, key, file)
	}
	// The file was recorded before there were keys.
	f, err := os.CreateTemp(s.temp, "seal-*.tmp")
	if err != nil {
		return fmt.Errorf("encrypt audio %s: %w", key, err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // leftovers are removed at the next start
	err = s.keys.Write(f, plain)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("encrypt audio %s: %w", key, err)
	}
	return s.Store.Put(ctx, key, f.Name())
}

// plain returns the content of a plain file, or nil if the file is encrypted.
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

// opened is the decrypted content of a file.
type opened struct {
	*io.SectionReader
	io.Closer
}
