package encode

import (
	"errors"
	"fmt"
	"io"
)

// ErrTruncated ends a Source whose file is shorter than its header declares. All audio of the file was returned before.
// It also matches [io.ErrUnexpectedEOF].
var ErrTruncated = fmt.Errorf("recording is truncated: %w", io.ErrUnexpectedEOF)

// ErrNotAudio is wrapped by the error of [Open] when a file holds no audio that can be recognised.
var ErrNotAudio = errors.New("not an audio file")

// ErrNoFFmpeg is wrapped by the error of [Open] when a file needs the program ffmpeg and it is not installed.
var ErrNoFFmpeg = errors.New("ffmpeg is not installed")

// UnsupportedError reports a file that is well formed, as far as it was read, but holds a codec or feature that the Go
// readers do not decode. [Open] passes such files to ffmpeg.
type UnsupportedError struct {
	What string // the codec or feature, e.g. "GSM 6.10 in WAV"
	Err  error  // why ffmpeg did not help, or nil
}

// Error names the unsupported feature and, if ffmpeg was tried, its error.
func (e *UnsupportedError) Error() string {
	if e.Err != nil {
		return e.What + " needs ffmpeg: " + e.Err.Error()
	}
	return e.What + " is not supported"
}

// Unwrap returns the error of ffmpeg, or nil.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Hint returns the remedy.
func (e *UnsupportedError) Hint() string {
	return "install ffmpeg, or convert the file to 16-bit PCM WAV"
}

func unsupported(format string, args ...any) error {
	return &UnsupportedError{What: fmt.Sprintf(format, args...)}
}
