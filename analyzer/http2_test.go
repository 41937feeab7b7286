package analyzer_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"callscreen/analyzer"
)

// stream is an upload that an HTTP/2 peer has read.
type stream struct {
	*http2.Framer
	id uint32
}

func (s stream) answer(status, body string) error {
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	return errors.Join(
		e.WriteField(hpack.HeaderField{Name: ":status", Value: status}),
		s.WriteHeaders(http2.HeadersFrameParam{StreamID: s.id, BlockFragment: head.Bytes(), EndHeaders: true}),
		s.WriteData(s.id, true, []byte(body)),
	)
}

// http2Peer answers uploads over HTTP/2. misbehave handles the first uploads, each once its body was read; the rest is answered
// with a score.
func http2Peer(t *testing.T, misbehave func(s stream, last uint32) error, times int) (c *analyzer.Client, uploads *atomic.Int64) {
	t.Helper()
	cert := httptest.NewUnstartedServer(nil)
	cert.EnableHTTP2 = true
	cert.StartTLS()
	t.Cleanup(cert.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", cert.TLS)
	if err != nil {
		t.Fatal(err)
	}
	uploads = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serveHTTP2(conn, func(s stream, last uint32) error {
				if uploads.Add(1) <= int64(times) {
					return misbehave(s, last)
				}
				return s.answer("200", `{"id":"j","status":"completed","score":0.5}`)
			})
		}
	}()
	transport, ok := cert.Client().Transport.(*http.Transport)
	if !ok {
		t.Fatal("no transport")
	}
	c, err = analyzer.New(secret, &analyzer.Options{
		BaseURL:     "https://" + l.Addr().String(),
		HTTPClient:  &http.Client{Transport: transport, Timeout: 10 * time.Second},
		PollInitial: time.Millisecond,
		PollMax:     2 * time.Millisecond,
		Deadline:    10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		_ = l.Close()
		<-done
	})
	return c, uploads
}

// serveHTTP2 reads one connection until it ends and calls answer for each upload.
func serveHTTP2(conn net.Conn, answer func(s stream, last uint32) error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	if f.WriteSettings() != nil {
		return
	}
	last := uint32(0)
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.HeadersFrame:
			if frame.StreamEnded() { // a poll
				if (stream{f, frame.StreamID}).answer("404", "") != nil {
					return
				}
				last = frame.StreamID
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				if answer(stream{f, frame.StreamID}, last) != nil {
					return
				}
				last = frame.StreamID
			}
		}
	}
}

var errDrop = errors.New("drop the connection")

// An upload that an HTTP/2 peer states not to have processed is free to repeat, any number of times. One that it may have
// processed is repeated once.
func TestAnUploadThatAnHTTP2PeerDidNotProcess(t *testing.T) {
	reset := func(code http2.ErrCode) func(stream, uint32) error {
		return func(s stream, _ uint32) error { return s.WriteRSTStream(s.id, code) }
	}
	for name, c := range map[string]struct {
		misbehave func(s stream, last uint32) error
		times     int
		free      bool
	}{
		"REFUSED_STREAM": {reset(http2.ErrCodeRefusedStream), 5, true},
		"GOAWAY before the stream": {func(s stream, last uint32) error {
			return errors.Join(s.WriteGoAway(last, http2.ErrCodeNo, []byte("restart")), errDrop)
		}, 5, true},
		"GOAWAY with an error before the stream": {func(s stream, last uint32) error {
			return errors.Join(s.WriteGoAway(last, http2.ErrCodeEnhanceYourCalm, nil), errDrop)
		}, 5, true},
		"GOAWAY that includes the stream": {func(s stream, _ uint32) error {
			return errors.Join(s.WriteGoAway(s.id, http2.ErrCodeNo, []byte("; REFUSED_STREAM")), errDrop)
		}, 2, false},
		"INTERNAL_ERROR":    {reset(http2.ErrCodeInternal), 2, false},
		"PROTOCOL_ERROR":    {reset(http2.ErrCodeProtocol), 2, false},
		"CANCEL":            {reset(http2.ErrCodeCancel), 2, false},
		"a lost connection": {func(stream, uint32) error { return errDrop }, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			client, uploads := http2Peer(t, c.misbehave, c.times)
			r, err := client.Analyze(t.Context(), recording(1, 1000), nil)
			switch {
			case c.free && (err != nil || r.Resent || uploads.Load() != int64(c.times+1)):
				t.Errorf("%d uploads, resent %v: %v", uploads.Load(), r.Resent, err)
			case !c.free && (analyzer.Reason(err) != "in_doubt" || uploads.Load() != 2):
				t.Errorf("%d uploads: %v", uploads.Load(), err)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Error("the key shows")
			}
		})
	}
}
