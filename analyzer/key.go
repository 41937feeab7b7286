package analyzer

import "log/slog"

// Key is the secret that the API knows its customer by. It does not show itself when it is printed or logged.
type Key string

const hidden = "[redacted]"

// String returns a stand-in.
func (k Key) String() string { return hidden }

// GoString returns a stand-in.
func (k Key) GoString() string { return hidden }

// MarshalText returns a stand-in.
func (k Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns a stand-in.
func (k Key) LogValue() slog.Value { return slog.StringValue(hidden) }
