package config

import (
	"log/slog"
	"slices"
)

// Log says what the program tells about itself.
type Log struct {
	Level  string `yaml:"level"`
	Format string `yaml:"format"`
}

// LogLevels and LogFormats are what can be chosen.
var (
	LogLevels  = []string{"debug", "info", "warn", "error"}
	LogFormats = []string{"text", "json"}
)

// Slog is the level as package slog has it, info if it is none.
func (l Log) Slog() (level slog.Level) {
	if level.UnmarshalText([]byte(l.Level)) != nil {
		return slog.LevelInfo
	}
	return level
}

func (l Log) validate(ps *Problems) {
	if !slices.Contains(LogLevels, l.Level) {
		ps.add("log.level", "write debug, info, warn or error", "there is no level %q", l.Level)
	}
	if !slices.Contains(LogFormats, l.Format) {
		ps.add("log.format", "write text or json", "there is no format %q", l.Format)
	}
}
