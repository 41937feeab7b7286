package review

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tape is a client that records the stream.
type tape struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *tape) Header() http.Header              { return http.Header{} }
func (t *tape) WriteHeader(int)                  {}
func (t *tape) SetWriteDeadline(time.Time) error { return nil }
func (t *tape) FlushError() error                { return nil }

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// An idle stream sends keep-alives, repeated events are not sent twice, and the stream ends after 15 minutes.
func TestAStreamLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &tape{}
		l := &listener{queue: make(chan event, 10)}
		c := &client{w: out, out: http.NewResponseController(out), last: 5}
		begun, ended := time.Now(), make(chan time.Duration)
		go func() {
			c.follow(context.Background(), l)
			ended <- time.Since(begun)
		}()
		time.Sleep(14 * time.Second)
		if synctest.Wait(); out.String() != "" {
			t.Errorf("sent %q", out)
		}
		for seq, data := range []string{"moved\n\n", 4: "old\n\n", 5: "old\n\n", 6: "new\n\n"} {
			if data != "" {
				l.queue <- event{seq: int64(seq), data: []byte(data)}
			}
		}
		if synctest.Wait(); out.String() != "moved\n\nnew\n\n" {
			t.Errorf("sent %q", out)
		}
		time.Sleep(2 * time.Second)
		if synctest.Wait(); !strings.HasSuffix(out.String(), ": still here\n\n") {
			t.Errorf("sent %q", out)
		}
		if took := <-ended; took != streamFor {
			t.Errorf("it lasted %v", took)
		}
	})
}
