package whip_test

import (
	"strings"
	"testing"

	"callscreen/internal/whip"
)

// A name goes into addresses, JSON, file names and databases, and must be the same everywhere.
func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{
		"call-1":                 true,
		"Zoë & Co":               true,
		"通話":                     true,
		strings.Repeat("a", 128): true,
		"":                       false,
		".":                      false,
		"..":                     false,
		"a/b":                    false,
		"a\x00":                  false,
		"a\n":                    false,
		"\xff":                   false,
		"a\xc3":                  false,
		"\ufffd":                 false,
		strings.Repeat("a", 129): false,
	} {
		if whip.ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}
