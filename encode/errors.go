package encode

import (
	"errors"
	"fmt"
	"io"
)

// ErrTruncated ends a Source whose file stops before its own header says it should. All audio that is there was handed
// out before. It also matches [io.ErrUnexpectedEOF].
var ErrTruncated = fmt.Errorf("recording is truncated: %w", io.ErrUnexpectedEOF)

// ErrNotAudio is what [Open] wraps when a file holds no audio that can be recognised.
var ErrNotAudio = errors.New("not an audio file")

// ErrNoFFmpeg is what [Open] wraps when a file needs the program ffmpeg and there is none.
var ErrNoFFmpeg = errors.New("ffmpeg is not installed")

// UnsupportedError says that a file is well formed, as far as it was read, but holds something that the Go readers do
// not decode. [Open] answers it by handing the file to ffmpeg.
type UnsupportedError struct {
	What string // what it is, e.g. "GSM 6.10 in WAV"
	Err  error  // why ffmpeg did not help, or nil
}

// Error names what is not supported and, if ffmpeg was tried, why that did not help.
func (e *UnsupportedError) Error() string {
	if e.Err != nil {
		return e.What + " needs ffmpeg: " + e.Err.Error()
	}
	return e.What + " is not supported"
}

// Unwrap returns the reason why ffmpeg did not help.
func (e *UnsupportedError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *UnsupportedError) Hint() string {
	return "install ffmpeg, or convert the file to 16-bit PCM WAV"
}

func unsupported(format string, args ...any) error {
	return &UnsupportedError{What: fmt.Sprintf(format, args...)}
}
