package encode

import (
	"context"
	"errors"
	"fmt"
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
		if errors.Is(err, ErrNotAudio) {
			err = withRawHint(err, path)
		}
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
		return nil, errors.New("is not a regular file (hint: save the recording to a file first)")
	case info.Size() == 0:
		return nil, fmt.Errorf("file is empty: %w", ErrNotAudio)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	rec := &recording{
		ctx:  ctx,
		f:    f,
		path: path,
		size: info.Size(),
		opts: opts,
	}
	src, err := openRecording(rec)
	if err != nil {
		return nil, errors.Join(err, rec.close())
	}
	return src, nil
}

// reason strips the operation and the path from an error of the os package, because Open adds both.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
