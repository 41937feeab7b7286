package analyzer

import (
	"context"
	"io"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
)

// handover passes the body of an upload to net/http and records whether all of it may have reached the API.
type handover struct {
	size           int64
	body           io.Reader
	read           atomic.Int64
	written, broke atomic.Bool // the last attempt to write the request ended well, or with an error
}

// Read implements io.Reader.
func (h *handover) Read(p []byte) (int, error) {
	n, err := h.body.Read(p)
	h.read.Add(int64(n))
	return n, err
}

// watch returns a context that reports the end of writing the request.
func (h *handover) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		h.written.Store(info.Err == nil)
		h.broke.Store(info.Err != nil)
	}})
}

// sent reports whether the API may have the whole recording. An answer can arrive before net/http reports the end of writing;
// then it is enough that net/http took the whole body.
func (h *handover) sent() bool {
	return h.written.Load() || h.read.Load() >= h.size && !h.broke.Load()
}

// unprocessed reports whether the peer states that it did not process a request: HTTP/2 REFUSED_STREAM, or a GOAWAY whose last
// stream is before the one of the request (RFC 9113, sections 6.8 and 8.7). net/http has no exported errors for these. A test
// with a real HTTP/2 peer compares the texts.
func unprocessed(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	if _, inner, ok := strings.Cut(text, "http2: Transport: cannot retry err ["); ok {
		text = inner
	} else if i := strings.Index(text, "stream error: "); i >= 0 {
		text = text[i:]
	} else if i := strings.Index(text, "http2: Transport "); i >= 0 {
		text = text[i:]
	}
	stream, refused, ok := strings.Cut(text, "; ")
	return ok && strings.HasPrefix(stream, "stream error: ") && strings.HasPrefix(refused, "REFUSED_STREAM") ||
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server ") ||
		strings.HasPrefix(text, "http2: Transport received Server's graceful shutdown GOAWAY")
}
