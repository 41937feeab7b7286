package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"callscreen/internal/seal"
)

// Sealed wraps a store and encrypts its audio. A file passed to Put may be encrypted already. Open refuses an encrypted file
// that carries another segment than that of its key. Older audio in the store, plain or without a segment, is opened
// unchanged; Read compares it with its hash. Without keys, Put stores files unchanged, and reading encrypted audio returns seal.ErrKey.
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
	err = s.keys.Write(f, segmentOf(key), plain)
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
	content, err := s.keys.Open(o, size)
	if err == nil && content.ID != "" && content.ID != segmentOf(key) {
		err = fmt.Errorf("%w: it is that of segment %s", ErrTampered, content.ID)
	}
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("read audio %s: %w", key, err), o.Close())
	}
	return &opened{SectionReader: io.NewSectionReader(content, 0, content.Size), Closer: o}, content.Size, nil
}

// segmentOf returns the segment whose audio has a key: ID.wav below some directory.
func segmentOf(key string) string { return strings.TrimSuffix(path.Base(key), ".wav") }

// opened is the decrypted content of a file.
type opened struct {
	*io.SectionReader
	io.Closer
}
