package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"

	"callscreen/internal/terminal"
)

// newLog returns a logger whose lines have the form of the program's errors.
func newLog(w io.Writer) *slog.Logger { return slog.New(lineHandler{w: w}) }

// ofLibraries gives the lines that libraries write to the standard logger to a logger, at level debug: net/http writes what peers send
// after an answer, in a form of its own. Without a logger they are dropped.
func ofLibraries(to *slog.Logger) {
	log.SetFlags(0)
	if to == nil {
		log.SetOutput(io.Discard)
		return
	}
	log.SetOutput(slog.NewLogLogger(to.Handler(), slog.LevelDebug).Writer())
}

// lineHandler writes warnings and errors as "callscreen: message (key: value, ...)".
type lineHandler struct {
	w     io.Writer
	attrs []slog.Attr
}

func (h lineHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	var parts []string
	add := func(a slog.Attr) bool {
		parts = append(parts, fmt.Sprintf("%s: %v", a.Key, a.Value.Resolve()))
		return true
	}
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	line := "callscreen: " + r.Message
	if len(parts) > 0 {
		line += " (" + strings.Join(parts, ", ") + ")"
	}
	_, err := fmt.Fprintln(h.w, terminal.Line(line))
	return err
}

func (h lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.attrs = append(h.attrs[:len(h.attrs):len(h.attrs)], attrs...)
	return h
}

func (h lineHandler) WithGroup(string) slog.Handler { return h }
