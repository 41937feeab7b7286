package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Options configures [Open]. The zero value and nil select the defaults.
type Options struct {
	FFmpeg   string // path of the program; "" searches PATH for ffmpeg
	NoFFmpeg bool   // never start ffmpeg: read only WAV, MP3 and Ogg Opus
}

// Open opens a recording. The format is recognised by the content of the file, not by its name. WAV, MP3 and Ogg Opus are
// read in Go. Every other format, and files that those readers refuse, are decoded by ffmpeg if it is installed.
//
// The error wraps [ErrNotAudio] for a file that is empty, unknown, or video without sound. It wraps an [UnsupportedError]
// (and [ErrNoFFmpeg]) for a file that needs ffmpeg, and the error of the operating system for a file that cannot be
// opened. After ctx ends, Read returns the error of ctx. The caller must close the Source in any case.
func Open(ctx context.Context, path string, opts *Options) (Source, error) {
	if opts == nil {
		opts = new(Options)
	}
	src, err := open(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("open recording %q: %w", path, err)
	}
	return src, nil
}

func open(ctx context.Context, path string, opts *Options) (Source, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Stat comes first, because opening a named pipe waits for its writer.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, reason(err)
	case info.IsDir():
		return nil, errors.New("is a directory; name the files in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file; save the recording to a regular file")
	case info.Size() == 0:
		return nil, fmt.Errorf("file is empty: %w", ErrNotAudio)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	file := &contextFile{ctx: ctx, f: f}
	src, nativeErr := openNative(file)
	if nativeErr == nil {
		return src, nil
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	src, ffErr := openFFmpeg(ctx, path, opts)
	if ffErr == nil {
		return src, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var u *UnsupportedError
	if errors.As(nativeErr, &u) {
		if errors.Is(ffErr, ErrNotAudio) {
			return nil, ffErr
		}
		return nil, &UnsupportedError{What: u.What, Err: ffErr}
	}
	return nil, nativeErr
}

// reason strips the operation and the path from an error of the os package, because Open adds both.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// openNative opens the formats that are read in Go.
func openNative(f *contextFile) (Source, error) {
	var b [16]byte
	n, err := io.ReadFull(f, b[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	kind, name := sniff(b[:n])
	switch kind {
	case "wav":
		return asSource(NewWAVReader(f))
	case "ogg":
		return asSource(NewOpusReader(f))
	case "mp3":
		return asSource(NewMP3Reader(f))
	case "other":
		return nil, unsupported("%s", name)
	}
	// It may be an MP3 that starts with junk.
	return asSource(NewMP3Reader(f))
}

// asSource returns a nil Source, not a nil pointer in a Source, on an error.
func asSource[S Source](src S, err error) (Source, error) {
	if err != nil {
		return nil, err
	}
	return src, nil
}

// contextFile is a file whose Read fails once its context has ended.
type contextFile struct {
	ctx context.Context
	f   *os.File
}

func (c *contextFile) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.f.Read(p)
}

func (c *contextFile) Seek(offset int64, whence int) (int64, error) { return c.f.Seek(offset, whence) }

func (c *contextFile) Close() error { return c.f.Close() }
