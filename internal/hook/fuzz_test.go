package hook

import (
	"testing"
	"time"

	"callscreen/internal/testkit"
)

// Invariant: every Retry-After gives a time between now and a day.
func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Add("120")
	f.Add("-9223372036854775808")
	f.Add("Sun, 01 Mar 2026 12:02:00 GMT")
	f.Fuzz(func(t *testing.T, value string) {
		defer testkit.Bounded(t)()
		if d := retryAfter(value, now); d < 0 || d > 24*time.Hour {
			t.Errorf("%q: %v", value, d)
		}
	})
}
