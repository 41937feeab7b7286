package limit

import (
	"net/http"
	"time"
)

// SlowFor is Slow with other limits.
func SlowFor(next http.Handler, body, write time.Duration) http.Handler {
	return slow(next, body, write)
}
