package analyzer_test

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer"
)

// Types and error codes of HTTP/2 frames, RFC 9113 sections 6 and 7.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	codeNo, codeProtocol, codeInternal, codeRefused, codeCancel, codeCalm = 0, 1, 2, 7, 8, 11
)

// stream is a request that an HTTP/2 peer has read.
type stream struct {
	net.Conn
	id uint32
}

// frame writes a frame, RFC 9113 section 4.1.
func (s stream) frame(kind, flags byte, id uint32, payload []byte) error {
	n := len(payload)
	b := append([]byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}, binary.BigEndian.AppendUint32(nil, id)...)
	_, err := s.Write(append(b, payload...))
	return err
}

// answer writes a response. status is the index of a status in the static table of HPACK.
func (s stream) answer(status byte, body string) error {
	return errors.Join(s.frame(frameHeaders, 0x4, s.id, []byte{0x80 | status}), s.frame(frameData, 0x1, s.id, []byte(body)))
}

func (s stream) reset(code uint32) error {
	return s.frame(frameReset, 0, s.id, binary.BigEndian.AppendUint32(nil, code))
}

func (s stream) goAway(last, code uint32, debug string) error {
	payload := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code)
	return errors.Join(s.frame(frameGoAway, 0, 0, append(payload, debug...)), errDrop)
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
				return s.answer(indexOf200, `{"id":"j","status":"completed","score":0.5}`)
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

const indexOf200, indexOf404 = 8, 13

// serveHTTP2 reads one connection until it ends and calls answer for each upload.
func serveHTTP2(conn net.Conn, answer func(s stream, last uint32) error) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(conn, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	if (stream{Conn: conn}).frame(frameSettings, 0, 0, nil) != nil {
		return
	}
	last := uint32(0)
	for head := make([]byte, 9); ; {
		if _, err := io.ReadFull(conn, head); err != nil {
			return
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, conn, size); err != nil {
			return
		}
		kind, ended := head[3], head[4]&0x1 != 0
		s := stream{conn, binary.BigEndian.Uint32(head[5:])}
		var err error
		switch {
		case kind == frameSettings && !ended:
			err = s.frame(frameSettings, 0x1, 0, nil)
		case kind == frameHeaders && ended: // a poll
			err, last = s.answer(indexOf404, ""), s.id
		case kind == frameData && ended:
			err, last = answer(s, last), s.id
		}
		if err != nil {
			return
		}
	}
}

var errDrop = errors.New("drop the connection")

// An upload that an HTTP/2 peer states not to have processed is free to repeat, any number of times. One that it may have
// processed is repeated once.
func TestAnUploadThatAnHTTP2PeerDidNotProcess(t *testing.T) {
	reset := func(code uint32) func(stream, uint32) error {
		return func(s stream, _ uint32) error { return s.reset(code) }
	}
	for name, c := range map[string]struct {
		misbehave func(s stream, last uint32) error
		times     int
		free      bool
	}{
		"REFUSED_STREAM":           {reset(codeRefused), 5, true},
		"GOAWAY before the stream": {func(s stream, last uint32) error { return s.goAway(last, codeNo, "restart") }, 5, true},
		"GOAWAY with an error before the stream": {func(s stream, last uint32) error {
			return s.goAway(last, codeCalm, "")
		}, 5, true},
		"GOAWAY that includes the stream": {func(s stream, _ uint32) error {
			return s.goAway(s.id, codeNo, "; REFUSED_STREAM")
		}, 2, false},
		"INTERNAL_ERROR":    {reset(codeInternal), 2, false},
		"PROTOCOL_ERROR":    {reset(codeProtocol), 2, false},
		"CANCEL":            {reset(codeCancel), 2, false},
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
