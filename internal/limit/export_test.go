package limit

import (
	"net/http"
	"time"
)

// SlowFor is Slow with other limits.
func SlowFor(next http.Handler, body, write time.Duration) http.Handler {
	return slow(next, body, write)
}

// SetClock replaces the clock.
func (r *Refusals) SetClock(now func() time.Time) { r.now = now }
