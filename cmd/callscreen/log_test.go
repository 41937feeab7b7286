package main

import (
	"bytes"
	"encoding/json"
	"log"
	"log/slog"
	"testing"
)

// Lines of libraries have the form of the log, and no other program's terminal sees what a peer has sent.
func TestLinesOfLibrariesHaveTheFormOfTheLog(t *testing.T) {
	defer ofLibraries(nil)
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var out bytes.Buffer
		ofLibraries(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level})))
		log.Print("Unsolicited response received on idle HTTP channel starting with \"\x1b[2J\"; err=<nil>")
		var line struct{ Level, Msg string }
		err := json.Unmarshal(out.Bytes(), &line)
		if (err == nil) != want || want && line.Level != "DEBUG" {
			t.Errorf("%v: %q %v", level, out.String(), err)
		}
	}
}
