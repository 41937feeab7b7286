package testkit

import (
	"bytes"
	"strings"
	"sync"
)

// Log keeps what is logged, for tests that look at it. The zero value is empty. It is safe for concurrent use.
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

// String is all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Errors counts the lines of slog's text handler at level ERROR.
func (l *Log) Errors() int { return strings.Count(l.String(), "level=ERROR") }

// Reset forgets what was logged.
func (l *Log) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.Reset()
}
