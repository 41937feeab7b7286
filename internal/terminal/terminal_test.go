package terminal_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"callscreen/internal/terminal"
)

func TestTextsFromOutsideAreOneVisibleLine(t *testing.T) {
	for text, want := range map[string]string{
		"call.wav":                   "call.wav",
		"Gespräch mit 客户 – №7.wav":   "Gespräch mit 客户 – №7.wav",
		"a\nFAKE: CLEAR":             `a\nFAKE: CLEAR`,
		"a\r\tb":                     `a\r\tb`,
		"\x1b[2J\x1b]0;title\a":      `\x1b[2J\x1b]0;title\x07`,
		"\x00\x7f":                   `\x00\u007f`,
		"\u009b31m\u0085":            `\u009b31m\u0085`,
		"\u202egpj\u202c\u2066x":     `\u202egpj\u202c\u2066x`,
		"a\u200bb\u200d\ufeff\u00ad": `a\u200bb\u200d\ufeff\u00ad`,
		"\u2028\u2029\u00a0":         `\u2028\u2029\u00a0`,
		"\U000e0041":                 `\udb40\udc41`,
		"\u3164\u115f\ufe0f\u2800":   `\u3164\u115f\ufe0f\u2800`,
		"\xff\xc3(":                  `\xff\xc3(`,
		"\ufffd":                     "\ufffd",
	} {
		if got := terminal.Line(text); got != want {
			t.Errorf("%q is shown as %s, want %s", text, got, want)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("a\nb\x1b[0m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		line := terminal.Line(s)
		if !utf8.ValidString(line) || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is shown as %q", s, line)
		}
		if terminal.Line(line) != line {
			t.Errorf("%q is not stable", line)
		}
	})
}

// JSON that passes the writer has the same meaning, and nothing in it reaches the terminal.
func TestWriterKeepsJSON(t *testing.T) {
	in := map[string]string{"name": "\x1b[2J\n\t\u009b\u202e\u200b\x7f\U000e0041é"}
	var b bytes.Buffer
	if err := json.NewEncoder(terminal.Writer(&b)).Encode(in); err != nil {
		t.Fatal(err)
	}
	var out map[string]string
	if err := json.Unmarshal(b.Bytes(), &out); err != nil || out["name"] != in["name"] {
		t.Errorf("%q became %q, %v", in, out, err)
	}
	if line := strings.TrimSuffix(b.String(), "\n"); terminal.Line(line) != line {
		t.Errorf("output is %q", line)
	}
}
