package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"callscreen/internal/intake"
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
		"a\u3164":                false,
		"\u115f":                 false,
		"a\ufe0f":                false,
		"a\u034f":                false,
		"\u2800":                 false,
		"a\xc3":                  false,
		"\ufffd":                 false,
		strings.Repeat("a", 129): false,
	} {
		if intake.ValidName(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	many := make([]string, 33)
	for i := range many {
		many[i] = fmt.Sprintf("k%d=v", i)
	}
	for query, good := range map[string]bool{
		"":                              true,
		"queue=payments&from=%2B49":     true,
		strings.Join(many[:32], "&"):    true,
		strings.Join(many, "&"):         false,
		"k=" + strings.Repeat("v", 256): true,
		"k=" + strings.Repeat("v", 257): false,
		strings.Repeat("k", 129) + "=v": false,
		"k=%00":                         false,
		"%zz":                           false,
		"=v":                            false,
	} {
		if _, err := intake.Metadata(query); (err == nil) != good {
			t.Errorf("%.60q: %v", query, err)
		}
	}
}
