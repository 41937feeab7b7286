// Package limit bounds what a server does for those who ask: connections, the time they may take, and how often they ask.
package limit

import (
	"io"
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
			// next request. An error means that the connection has no deadlines, as in tests.
			if out.SetReadDeadline(time.Now().Add(bodyFor)) == nil {
				r.Body = &body{r.Body, out}
			}
		}
		answer := &writer{w, out, writeFor}
		_ = out.SetWriteDeadline(time.Time{}) // the one of the request before, on the same connection
		next.ServeHTTP(answer, r)
		answer.extend() // for what the server writes itself, an answer without a body too
	})
}

// body lifts the deadline once it is read to its end: from then on the server reads on by itself, to notice when the
// client goes away, and would take the deadline for that.
type body struct {
	io.ReadCloser
	out *http.ResponseController
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF { //nolint:errorlint // as a Reader returns it
		_ = b.out.SetReadDeadline(time.Time{}) // the connection is gone if that fails
	}
	return n, err
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
