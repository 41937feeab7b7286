package audio_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/audio"
)

// An S3 store that refuses, hangs or does not end its answers costs bounded time and memory, and nothing counts as missing.
func TestAnUnwellS3StoreIsNoMissingAudio(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	const size = 44
	var mode atomic.Value
	stop := make(chan struct{})
	hang := func(r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}
	mode.Store("")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or the end of the request would go unnoticed
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"e"`)
		switch mode.Load() {
		case "forbidden":
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `<Error><Code>AccessDenied</Code></Error>`)
		case "slow":
			hang(r)
		case "endless":
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = io.WriteString(w, strings.Repeat("a", size/2))
			w.(http.Flusher).Flush()
			hang(r) // the rest never comes
		case "large":
			w.Header().Set("Content-Length", strconv.Itoa(1<<40))
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
		case "missing":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `<Error><Code>NoSuchKey</Code></Error>`)
		}
	}))
	defer server.Close()
	defer close(stop)
	ctx := t.Context()
	s, err := audio.New(ctx, "s3://bucket/p?region=r&endpoint="+server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.(io.Closer).Close()
	for name, missing := range map[string]bool{"forbidden": false, "slow": false, "endless": false, "large": false, "missing": true} {
		mode.Store(name)
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := audio.Read(ctx, s, audio.Evidence{Key: "ab/a.wav", Bytes: size})
		if err == nil || errors.Is(err, audio.ErrNotFound) != missing {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Put(ctx, "ab/b.wav", wavFile(t)); name != "endless" && name != "large" && (err == nil || errors.Is(err, audio.ErrNotFound)) {
			t.Errorf("%s: put: %v", name, err)
		}
		cancel()
	}
}
