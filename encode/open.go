package encode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Options changes what [Open] does. The zero value, and nil, are usable.
type Options struct {
	FFmpeg   string // path of the program; "" searches PATH for ffmpeg
	NoFFmpeg bool   // never start it: read only what is read in Go
}

// Open opens a recording. What it is, is told by its content, not by its name. WAV, MP3 and Ogg Opus are read in Go;
// what those readers refuse, and every other format, is decoded by ffmpeg if there is one.
//
// The error says what is wrong: it wraps [ErrNotAudio] for a file that is empty, unknown, or video without sound, an
// [UnsupportedError] (and [ErrNoFFmpeg]) for one that would need ffmpeg, and the error of the operating system for one
// that cannot be opened. When ctx ends, so does the Source: Read returns the error of ctx. Close must be called in any
// case.
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
	// Before it is opened, because opening a named pipe waits for its writer.
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, reason(err)
	case info.IsDir():
		return nil, errors.New("is a directory; give the files in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file; save the recording to one")
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

// reason takes the operation and the path out of an error of the os package: Open says both.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// openNative opens what is read in Go.
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
	// Perhaps an MP3 that starts with junk.
	return asSource(NewMP3Reader(f))
}

// asSource keeps a nil pointer from becoming a Source that is not nil.
func asSource[S Source](src S, err error) (Source, error) {
	if err != nil {
		return nil, err
	}
	return src, nil
}

// contextFile is a file that cannot be read any more once its context has ended.
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
