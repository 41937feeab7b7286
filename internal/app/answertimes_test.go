package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"callscreen/analyzer"
	"callscreen/internal/config"
	"callscreen/internal/screen"
)

// pupil is a client that learns one word.
type pupil struct {
	screen.API
	word string
}

func (p *pupil) Learned() ([]byte, error) { return []byte(p.word), nil }

func (p *pupil) Learn(data []byte) error {
	if string(data) == "damaged" {
		return errors.New("not a word")
	}
	p.word = string(data)
	return nil
}

// The learned times are kept across restarts. A damaged file is reported, and replaced.
func TestAnswerTimesAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var log bytes.Buffer
	restart := func(p *pupil) *answerTimes {
		a := &App{opt: Options{Config: config.Config{DataDir: dir}, API: p, Log: slog.New(slog.NewTextHandler(&log, nil))}}
		return a.loadAnswerTimes()
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	first := &pupil{}
	k := restart(first)
	first.word = "2.7 s"
	if err := k.run(stopped); err != nil {
		t.Fatal(err)
	}
	second := &pupil{}
	if restart(second); second.word != "2.7 s" || log.Len() > 0 {
		t.Errorf("%q, %s", second.word, log.String())
	}
	file := filepath.Join(dir, answerTimesFile)
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := &pupil{word: "3 s"}
	k = restart(third)
	if !strings.Contains(log.String(), answerTimesFile) {
		t.Errorf("log %q", log.String())
	}
	if err := k.run(stopped); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != "3 s" {
		t.Errorf("%q %v", data, err)
	}
	var _ learner = (*analyzer.Client)(nil)
}
