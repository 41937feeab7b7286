package analyzer_test

import (
	"io"
	"net/http"
	"strings"
)

// drain reads the body of a request to the end.
func drain(r *http.Request) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

// answered returns a response with a body.
func answered(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}
