package encode

import (
	"fmt"
	"strings"
	"sync"
)

// boundedLog parses the log of ffmpeg (-loglevel level+verbose) line by line. It keeps the last error and counts damage.
type boundedLog struct {
	mu    sync.Mutex
	line  []byte // the incomplete line
	error string
	seen  Damage
}

func (l *boundedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	const most = 1 << 10
	for _, v := range p {
		switch {
		case v == '\n':
			l.end(string(l.line))
			l.line = l.line[:0]
		case len(l.line) < most:
			l.line = append(l.line, v)
		}
	}
	return len(p), nil
}

// end parses a complete line: "[module @ address] [level] message".
func (l *boundedLog) end(line string) {
	for _, level := range []string{"[error] ", "[fatal] ", "[panic] "} {
		if _, message, ok := strings.Cut(line, level); ok {
			l.error = strings.TrimSpace(message)
			l.seen.Events++
			return
		}
	}
	if _, count, ok := strings.Cut(line, "[verbose] adding "); ok {
		var n int64
		if _, err := fmt.Sscanf(count, "%d audio samples of silence", &n); err == nil && n > 0 {
			l.seen.Events++
			l.seen.Lost += n
		}
	}
}

func (l *boundedLog) damage() Damage {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// last returns the last error.
func (l *boundedLog) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.error
}
