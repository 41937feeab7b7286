// Package audio stores the audio of segments in a directory or in an S3-compatible store.
package audio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

// ErrNotFound reports that a key has no audio.
var ErrNotFound = errors.New("no such audio")

// Object is stored audio, open for reading. It is seekable, as players need.
type Object interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Store stores files under keys such as "ab/abcdef.wav". It is safe for concurrent use.
type Store interface {
	// Put stores a copy of a local file. The copy is durable when Put returns nil. It replaces an existing copy.
	Put(ctx context.Context, key, file string) error
	// Open opens the audio of a key and returns its size. The error wraps ErrNotFound if there is none.
	Open(ctx context.Context, key string) (Object, int64, error)
	// Delete deletes the audio of a key. A missing key is not an error.
	Delete(ctx context.Context, key string) error
	// Check returns an error if the store is unreachable.
	Check(ctx context.Context) error
}

// New opens the store of an address. The address is s3://bucket/prefix, optionally with ?endpoint=http://host:port and
// ?region=..., or the absolute path of a directory that all nodes share. "" means the directory folder, which only this
// node has.
func New(ctx context.Context, address, folder string) (Store, error) {
	if address == "" {
		return NewFolder(folder)
	}
	if filepath.IsAbs(address) {
		return NewFolder(address)
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" {
		return nil, fmt.Errorf(
			"audio: %q is not an S3 URL (hint: s3://bucket/prefix?endpoint=https://host, or the absolute path of a directory)",
			address,
		)
	}
	q := u.Query()
	for k := range q {
		if k != "endpoint" && k != "region" {
			return nil, fmt.Errorf("audio: unknown parameter %q (hint: use endpoint and region)", k)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return newS3(ctx, u.Host, strings.Trim(u.Path, "/"), q.Get("endpoint"), q.Get("region"))
}
