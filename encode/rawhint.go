package encode

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// hintedError is an error with a hint that is not part of its text.
type hintedError struct {
	error
	hint string
}

// Hint returns the remedy.
func (e hintedError) Hint() string  { return e.hint }
func (e hintedError) Unwrap() error { return e.error }

// withRawHint adds a hint to the error of a file that may hold samples without a header.
func withRawHint(err error, path string) error {
	f, openErr := os.Open(path)
	if openErr != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, judgeBlock)
	n, _ := io.ReadFull(f, head)
	ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	format, known := rawFormat(ext)
	if !known && (n < 1024 || harmless(head[:n]) || compressed(head[:n]) || knownContent(head[:n])) {
		return err
	}
	return hintedError{err, fmt.Sprintf("samples without a header need one, as in: ffmpeg -f %s -ar 8000 -ac 1 -i FILE FILE.wav", format)}
}

// rawFormat returns the name that ffmpeg has for raw samples of files with an extension.
func rawFormat(ext string) (format string, known bool) {
	switch ext {
	case "ul", "ulaw", "mulaw", "pcmu", "u", "mu":
		return "mulaw", true
	case "al", "alaw", "pcma", "a":
		return "alaw", true
	case "raw", "pcm", "sln", "sw", "s16":
		return "s16le", true
	case "g722":
		return "g722", true
	}
	return "mulaw", false
}

// knownContent reports whether b starts like a picture, an archive, a document or a program.
func knownContent(b []byte) bool {
	for _, magic := range []string{"\x89PNG", "\xff\xd8\xff", "GIF8", "PK\x03\x04", "%PDF", "\x7fELF", "MZ", "\x1f\x8b", "SQLite format"} {
		if strings.HasPrefix(string(b[:min(len(b), 16)]), magic) {
			return true
		}
	}
	kind, _ := sniff(b)
	return kind == "wav" || kind == "ogg"
}
