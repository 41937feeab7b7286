package address_test

import (
	"net/url"
	"strings"
	"testing"

	"callscreen/internal/address"
)

func TestEchoHidesWhatAServerRepeats(t *testing.T) {
	target, err := url.Parse("https://me:pass-word@media.test/whep/s3cr%65t-path/caller?key=query-key&n=1")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"no stream /whep/s3cret-path/caller here":                     "no stream [redacted] here",
		"bad token tok-en-1 of me:pass-word":                          "bad token [redacted] of [redacted]",
		"key query-key is old":                                        "key [redacted] is old",
		"GET /whep/s3cr%65t-path/caller?key=query-key&n=1: not found": "GET [redacted]: not found",
		"s3cret-path is unknown":                                      "[redacted] is unknown",
		"see https://other.test/a/b":                                  "see https://other.test/[redacted]",
		"no free port, n=1":                                           "no free port, n=1",
	} {
		if got := address.Echo(text, target, "tok-en-1"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	plain, err := url.Parse("http://media.test/")
	if err != nil {
		t.Fatal(err)
	}
	if got := address.Echo("the server is busy", plain, ""); strings.Contains(got, "redacted") {
		t.Error(got)
	}
}
