// Package audio keeps the audio of segments: in a folder, or in an S3-compatible store.
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

// ErrNotFound says that there is no audio under a key.
var ErrNotFound = errors.New("there is no such audio")

// Object is audio that is being read. It can be read from any place, as players do.
type Object interface {
	io.ReadSeekCloser
	io.ReaderAt
}

// Store keeps files under keys such as "ab/abcdef.wav". It is safe for concurrent use.
type Store interface {
	// Put keeps a copy of a local file. When it returns nil the copy is there for good; one under the same key is replaced.
	Put(ctx context.Context, key, file string) error
	// Open reads what is kept. The error wraps ErrNotFound if there is nothing.
	Open(ctx context.Context, key string) (Object, int64, error)
	// Delete removes it. Nothing there is no error.
	Delete(ctx context.Context, key string) error
	// Check tells whether the store can be reached.
	Check(ctx context.Context) error
}

// New opens the store that an address names: s3://bucket/prefix, with ?endpoint=http://host:port for another server than
// that of AWS and ?region=..., the absolute path of a folder that all nodes share, or "" for a folder of this node.
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
			"audio: %q is no S3 address (hint: s3://bucket/prefix?endpoint=https://host, or the absolute path of a folder)",
			address,
		)
	}
	q := u.Query()
	for k := range q {
		if k != "endpoint" && k != "region" {
			return nil, fmt.Errorf("audio: there is no parameter %q (hint: endpoint and region)", k)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return newS3(ctx, u.Host, strings.Trim(u.Path, "/"), q.Get("endpoint"), q.Get("region"))
}
