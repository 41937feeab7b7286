package config

import (
	"log/slog"
	"slices"
)

// Log configures the log.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// LogLevels and LogFormats are the valid values.
var (
	LogLevels  = []string{"debug", "info", "warn", "error"}
	LogFormats = []string{"text", "json"}
)

// Slog returns the level for package slog. An invalid level is info.
func (l Log) Slog() (level slog.Level) {
	if level.UnmarshalText([]byte(l.Level)) != nil {
		return slog.LevelInfo
	}
	return level
}

func (l Log) validate(ps *Problems) {
	if !slices.Contains(LogLevels, l.Level) {
		ps.add("log.level", "write debug, info, warn or error", "%q is not a log level", l.Level)
	}
	if !slices.Contains(LogFormats, l.Format) {
		ps.add("log.format", "write text or json", "%q is not a log format", l.Format)
	}
}
