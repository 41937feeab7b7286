package main

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"callscreen/internal/backtest"
	"callscreen/internal/config"
	"callscreen/internal/doctor"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// hostile is a text that clears the screen, starts a line, and turns letters around.
const hostile = "a\x1b[2J\nFAKE: CLEAR\r\u009b1A\u202egpj\u2066\u200b\xff"

// visible checks that an output has no hidden characters, and no line that hostile has started.
func visible(t *testing.T, name, output string) {
	t.Helper()
	if !strings.Contains(output, `FAKE`) {
		t.Errorf("%s: the text is missing: %q", name, output)
	}
	if !utf8.ValidString(output) {
		t.Errorf("%s: the output is not UTF-8: %q", name, output)
	}
	for line := range strings.Lines(output) {
		line = strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", " ")
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.HasPrefix(line, "FAKE") ||
			strings.HasPrefix(line, "callscreen: FAKE") {
			t.Errorf("%s prints %q", name, line)
		}
	}
}

// Names of files are shown on standard output and standard error without their control characters.
func TestFileNamesDoNotControlTheTerminal(t *testing.T) {
	dir := t.TempDir()
	sound, err := os.ReadFile(filepath.Join("..", "..", "testdata", "audio", "silence.wav"))
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, hostile)
	for file, content := range map[string][]byte{name + ".wav": sound, name + ".txt": []byte("no audio"), name + ".flac": []byte("fLaC no")} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"replay", "--simulate", name + ".wav"},
		{"replay", "--simulate", "--json", name + ".wav"},
		{"replay", "--simulate", "--legs", hostile, name + ".wav"},
		{"replay", "--simulate", name + ".txt"},
		{"replay", "--simulate", name + ".flac"},
		{"replay", "--simulate", dir},
		{"replay", "--simulate", name},
		{"replay", "--simulate", name + ".missing", name + ".absent"},
		{"replay", "--simulate", "--script", name, name + ".wav"},
		{"replay", "--config", name, name + ".wav"},
		{"config", "check", "--config", name + ".missing"},
		{"backtest", "--policy", name + ".missing"},
		{"audit", "verify", "--head", name + ".missing"},
		{"publish", name + ".missing", "--to", "http://127.0.0.1:1/whip/c/l"},
		{"publish", "--channels", "split", name + ".txt", "--to", "http://127.0.0.1:1/whip/c/l"},
		{"simulator", "--script", name + ".missing"},
		{hostile},
		{"replay", "--" + hostile},
		{"calls", "--what", hostile},
	} {
		code, stdout, stderr := verb(t, nil, "", args...)
		visible(t, fmt.Sprintf("%.50q ends with %d and", args, code), stdout+stderr)
	}
}

// Texts of callers, of the database and of the API are shown without their control characters.
func TestTextsDoNotControlTheTerminal(t *testing.T) {
	score, threshold := 0.7, 0.6
	for name, print := range map[string]func(b *bytes.Buffer) error{
		"a file": func(b *bytes.Buffer) error { return printTable(b, report.Report{File: hostile}) },
		"a leg": func(b *bytes.Buffer) error {
			return printTable(b, report.Report{
				Reasons:  []string{hostile},
				Warnings: []string{hostile},
				Legs:     []report.LegReport{{Leg: hostile, Threshold: threshold, Paused: secs(1)}},
				Segments: []report.SegmentReport{
					{Leg: hostile, State: report.StateScored, Score: &score},
					{Leg: "caller", State: report.StateFailed, Reason: hostile, Detail: hostile},
				},
			})
		},
		"a reason of the ledger": func(b *bytes.Buffer) error {
			return printTable(b, report.Report{Legs: []report.LegReport{{
				Leg:    "caller",
				Unread: secs(2),
				Ledger: &report.Ledger{Unread: map[string]report.Seconds{hostile: secs(2)}},
			}}})
		},
		"a call of a backtest": func(b *bytes.Buffer) error {
			return printBacktest(b, hostile, backtest.Result{
				Calls:       1,
				Changes:     []backtest.Change{{Call: hostile, From: hostile, To: hostile, Disposition: hostile}},
				Transitions: []backtest.Transition{{From: hostile, To: hostile}},
				Notes:       []string{hostile},
			})
		},
		"a finding of the doctor": func(b *bytes.Buffer) error {
			return doctor.Print(b, []doctor.Finding{{Check: "api", Level: doctor.Error, Message: hostile, Hint: hostile}})
		},
		"a warning": func(b *bytes.Buffer) error {
			newLog(b).With("call", hostile).Warn(hostile, "error", errors.New(hostile))
			return nil
		},
		"the log as text": func(b *bytes.Buffer) error {
			log, _ := serveLog(env{stderr: b}, config.Log{Format: "text"})
			log.With("call", hostile).Error(hostile, "error", errors.New(hostile), slog.Any("list", []string{hostile}))
			return nil
		},
		"the log as JSON": func(b *bytes.Buffer) error {
			log, _ := serveLog(env{stderr: b}, config.Log{Format: "json"})
			log.With("call", hostile).Error(hostile, "error", errors.New(hostile), slog.Any("list", []string{hostile}))
			return nil
		},
		"errors": func(b *bytes.Buffer) error {
			path := &os.PathError{Op: "open", Path: hostile, Err: os.ErrExist}
			printError(b, errors.Join(errors.New(hostile), fmt.Errorf("%s: %w", hostile, path)))
			return nil
		},
		"problems": func(b *bytes.Buffer) error {
			printError(b, fmt.Errorf("load: %w", config.Problems{{Path: "x", Message: hostile, Hint: hostile}, {Path: hostile}}))
			return nil
		},
		"a usage error": func(b *bytes.Buffer) error { printError(b, usagef("%s", hostile)); return nil },
	} {
		var b bytes.Buffer
		if err := print(&b); err != nil {
			t.Fatal(name, err)
		}
		visible(t, name, b.String())
	}
}

// A message of which the receiver chose the error text, for a call with an odd id.
func TestMessagesDoNotControlTheTerminal(t *testing.T) {
	dir, odd := history(t), strings.ToValidUTF8(hostile, "")
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err := s.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddMessage(t.Context(), store.Message{
			ID:        odd,
			Event:     "call.flagged",
			Call:      odd,
			CreatedAt: at,
			Body:      "{}",
		}, []string{"crm"})
		return errors.Join(err, tx.Audit(t.Context(), store.Line{At: at, Actor: odd, What: store.AuditDecided, Call: odd}))
	}); err != nil {
		t.Fatal(err)
	}
	d, _, err := s.ClaimDelivery(t.Context(), "crm", at, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	d.State, d.SettledAt, d.LastError = store.DeliveryDead, at, odd
	if err := errors.Join(s.SaveDelivery(t.Context(), d), s.Close()); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"webhooks", "list"}, {"audit", "print"}, {"webhooks", "enable", odd}} {
		_, stdout, stderr := verb(t, []string{"CALLSCREEN_DATA_DIR=" + dir}, "", args...)
		visible(t, strings.Join(args[:2], " "), stdout+stderr)
	}
}

// A weak token is refused by every verb that reads tokens, with a command that makes a strong one.
func TestWeakTokensAreRefusedAtStart(t *testing.T) {
	for _, args := range [][]string{{"config", "check"}, {"serve", "--simulate"}, {"doctor"}} {
		environ := []string{"CALLSCREEN_DATA_DIR=" + t.TempDir(), "CALLSCREEN_REVIEW_TOKEN=guess-me", "CALLSCREEN_LISTEN=127.0.0.1:0"}
		code, stdout, stderr := verb(t, environ, "", args...)
		if text := stdout + stderr; code != exitError || !strings.Contains(text, "CALLSCREEN_REVIEW_TOKEN: the reviewer token has at most") ||
			!strings.Contains(text, "openssl rand -hex 32") || strings.Contains(text, "guess-me") {
			t.Errorf("%q ends with %d: %s", args, code, text)
		}
	}
	code, stdout, stderr := verb(t, []string{"CALLSCREEN_REVIEW_TOKEN=c0c2ff7b1d5a4e6f9a8b3d2e1f708192"}, "", "config", "check")
	if code != exitOK || !strings.Contains(stdout, "is valid") {
		t.Errorf("a strong token ends with %d: %s%s", code, stdout, stderr)
	}
}
