// Package terminal escapes texts from outside for people who read them on a terminal. A name or a message must not move the
// cursor, start a line of its own, change the order of the letters, or hide a part of itself.
package terminal

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Line returns a text as a part of one line: line breaks, tabs, all other control and format characters, and bytes that are
// not UTF-8, are shown as escape sequences of Go.
func Line(s string) string { return escape(s, "") }

// Writer returns a writer that escapes like [Line], except for line breaks and tabs. It is the last defence of output that is
// put together from several texts, and each of them still needs Line. JSON keeps its meaning. Each Write must contain whole
// characters.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ io.Writer }

// Write implements io.Writer.
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, escape(string(p), "\n\t")); err != nil {
		return 0, err
	}
	return len(p), nil
}

// escape escapes all characters that are not visible, except for the given ones.
func escape(s, except string) string {
	shown := func(r rune, size int) bool {
		return unicode.IsPrint(r) && !blank(r) && (r != utf8.RuneError || size > 1) || r != utf8.RuneError && strings.ContainsRune(except, r)
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case shown(r, size):
			b.WriteRune(r)
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ':
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) { // as in JSON
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		}
		i += size
	}
	return b.String()
}

// blank reports whether a letter or mark has no shape of its own.
func blank(r rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) || r == '\u2800'
}
