package testkit

import (
	"bytes"
	"strings"
	"sync"
)

// Log captures a log for tests. The zero value is ready to use. It is safe for concurrent use.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns the captured log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Errors returns the number of lines with level=ERROR in the format of slog's text handler.
func (l *Log) Errors() int { return strings.Count(l.String(), "level=ERROR") }

// Reset discards the captured log.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
