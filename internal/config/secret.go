package config

import "log/slog"

// Secret is a string that does not show itself: not in a log, not in an error, not in a dump of the configuration.
type Secret string

const redacted = "[redacted]"

// String returns a stand-in, or "" when there is nothing to hide.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from showing the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalText keeps encoders from showing the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML keeps dumps of the configuration from showing the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue keeps loggers from showing the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }
