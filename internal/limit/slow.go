// Package limit limits clients of a server: the number of connections, the duration of reads and writes, and the rate
// of requests.
package limit

import (
	"net/http"
	"time"
)

const (
	// BodyFor is the time limit for receiving a body. The largest body has 64 KiB.
	BodyFor = 10 * time.Second
	// WriteFor is the time limit for writing one piece of an answer.
	WriteFor = 30 * time.Second
)

// Slow limits the time that clients have for sending a body and for receiving an answer. Handlers have no limit, and
// can set their own deadlines with [http.ResponseController].
func Slow(next http.Handler) http.Handler { return slow(next, BodyFor, WriteFor) }

func slow(next http.Handler, bodyFor, writeFor time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// Set the deadline now and not at the first Read: the server reads a body that no handler reads, before it answers
			// the next request. The server clears the deadline at the end of the body.
			_ = out.SetReadDeadline(time.Now().Add(bodyFor)) // a test connection may not support deadlines
		}
		answer := &writer{w, out, writeFor}
		next.ServeHTTP(answer, r)
		answer.extend() // covers writes of the server itself, and answers without a body
	})
}

// writer gives each piece of an answer its own deadline.
type writer struct {
	http.ResponseWriter
	out      *http.ResponseController
	writeFor time.Duration
}

func (w *writer) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// extend does nothing if the connection has no deadlines, as in tests.
func (w *writer) extend() { _ = w.out.SetWriteDeadline(time.Now().Add(w.writeFor)) }

// Unwrap supports [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
