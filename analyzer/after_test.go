package analyzer

import (
	"testing"

	"callscreen/internal/testkit"
)

// Invariant: every Retry-After gives a time between now and the maximum.
func FuzzRetryAfter(f *testing.F) {
	c, err := New("key", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("120")
	f.Add("-9223372036854775808")
	f.Add("Fri, 31 Dec 9999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		defer testkit.Bounded(t)()
		if d := c.retryAfter(value); d < 0 || d > maxAfter {
			t.Errorf("%q: %v", value, d)
		}
	})
}
