package analyzer

import "log/slog"

// Key is the API key. It is redacted when printed or logged.
type Key string

const hidden = "[redacted]"

// String returns "[redacted]".
func (k Key) String() string { return hidden }

// GoString returns "[redacted]".
func (k Key) GoString() string { return hidden }

// MarshalText returns "[redacted]".
func (k Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// LogValue returns "[redacted]".
func (k Key) LogValue() slog.Value { return slog.StringValue(hidden) }
