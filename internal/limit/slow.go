// Package limit bounds what a server does for those who ask: connections, the time they may take, and how often they ask.
package limit

import (
	"net/http"
	"time"
)

const (
	// BodyFor is how long a body may take to come. The largest has 64 KiB.
	BodyFor = 10 * time.Second
	// WriteFor is how long one piece of an answer may take to be taken.
	WriteFor = 30 * time.Second
)

// Slow bounds how long clients may take to send a body and to take an answer. Handlers may take their time, and set
// deadlines of their own by [http.ResponseController].
func Slow(next http.Handler) http.Handler { return slow(next, BodyFor, WriteFor) }

func slow(next http.Handler, bodyFor, writeFor time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := http.NewResponseController(w)
		if r.Body != nil && r.Body != http.NoBody {
			// Set now and not at the first Read: a body that no handler reads is read by the server, before it answers the
			// next request. The server lifts it when the body has come to its end.
			_ = out.SetReadDeadline(time.Now().Add(bodyFor)) // in tests the connection may have none
		}
		answer := &writer{w, out, writeFor}
		next.ServeHTTP(answer, r)
		answer.extend() // for what the server writes itself, an answer without a body too
	})
}

// writer gives each piece of an answer its time.
type writer struct {
	http.ResponseWriter
	out      *http.ResponseController
	writeFor time.Duration
}

func (w *writer) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// extend has no effect where there are no deadlines, as in tests.
func (w *writer) extend() { _ = w.out.SetWriteDeadline(time.Now().Add(w.writeFor)) }

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
