package app_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

const (
	hostileSessions = 1000
	hostileAtOnce   = 100
)

// hostileOffer returns a valid offer of a sender that never connects.
func hostileOffer(i int) string {
	return fmt.Sprintf("v=0\r\no=- %d 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"+
		"a=fingerprint:sha-256 %s00\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=setup:actpass\r\na=mid:0\r\n"+
		"a=ice-ufrag:evil\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n"+
		"a=rtcp-mux\r\na=sendonly\r\na=rtpmap:111 opus/48000/2\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", i, strings.Repeat("00:", 31))
}

// crowd is a thousand hostile senders at several addresses.
type crowd struct {
	t       *testing.T
	at      string // of the server
	clients []*http.Client
	mu      sync.Mutex
	answers map[string]int // number of responses by request and status
}

func newCrowd(t *testing.T, at string) *crowd {
	c := &crowd{t: t, at: at, answers: map[string]int{}}
	for i := range 8 {
		d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i))}, Timeout: 20 * time.Second}
		c.clients = append(c.clients, &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: d.DialContext}})
	}
	return c
}

// do sends a request and returns the location of the new session.
func (c *crowd) do(what string, i int, method, path, kind, token string, body io.Reader) string {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+c.at+path, body)
	if err != nil {
		c.t.Error(err)
		return ""
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", kind)
	status, location := "cut off", ""
	if resp, err := c.clients[i%len(c.clients)].Do(r); err == nil {
		status, location = fmt.Sprint(resp.StatusCode), resp.Header.Get("Location")
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	c.mu.Lock()
	c.answers[what+": "+status]++
	c.mu.Unlock()
	return location
}

// trickling sends a few bytes a second.
type trickling struct{ left int }

func (s *trickling) Read(p []byte) (int, error) {
	if s.left--; s.left < 0 {
		return 0, io.EOF
	}
	time.Sleep(300 * time.Millisecond)
	return copy(p, "v"), nil
}

func (c *crowd) attack(i int) {
	const sdp, frag = "application/sdp", "application/trickle-ice-sdpfrag"
	path := fmt.Sprintf("/whip/evil-%d/caller", i)
	switch i % 8 {
	case 0:
		c.do("never connects", i, "POST", path, sdp, "evil", strings.NewReader(hostileOffer(i)))
	case 1:
		c.do("huge", i, "POST", path, sdp, "evil", strings.NewReader(hostileOffer(i)+strings.Repeat("a=x\r\n", 200_000)))
	case 2:
		c.do("slow", i, "POST", path, sdp, "evil", &trickling{200})
	case 3:
		c.do("wrong token", i, "POST", path, sdp, fmt.Sprint("guess", i), strings.NewReader(hostileOffer(i)))
	case 4:
		c.do("garbage", i, "POST", path, sdp, "evil", strings.NewReader(strings.Repeat("\x00\xffm=audio a=", 1000)))
	case 5:
		at := c.do("never connects", i, "POST", path, sdp, "evil", strings.NewReader(hostileOffer(i)))
		for n := range 150 {
			ufrag := "evil"
			if n%50 == 49 {
				ufrag = fmt.Sprint("evil", n) // an ICE restart
			}
			c.do(
				"PATCH",
				i,
				"PATCH",
				at,
				frag,
				"evil",
				strings.NewReader(
					"a=ice-ufrag:"+ufrag+"\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nm=audio 9 X 0\r\na=mid:0\r\n"+strings.Repeat(
						"a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n",
						5,
					),
				),
			)
		}
	case 6:
		at := c.do("never connects", i, "POST", path, sdp, "victim", strings.NewReader(hostileOffer(i)))
		c.do("DELETE of others", i, "DELETE", at, frag, "evil", nil)
		c.do("DELETE of what is not", i, "DELETE", "/whip/session/AAAAAAAAAAAAAAAAAAAAAAAAAA", frag, "evil", nil)
	case 7:
		c.do(
			"many media",
			i,
			"POST",
			path,
			sdp,
			"evil",
			strings.NewReader(hostileOffer(i)+strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 1800)),
		)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // frees the memory that finalizers released
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A thousand hostile sessions do not disturb a call: no packet of it is lost, and its decision is correct. Afterwards their
// goroutines and memory are released.
func TestHostileSessionsDoNotTouchAGoodCall(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "rev"}, func(c *config.Config) {
		c.Auth.Tokens = []config.Token{fixed("evil", "evil", "ingest"), fixed("victim", "victim", "ingest")}
		c.WebRTC.MaxSessionsPerToken, c.WebRTC.Grace = 200, time.Second
	})
	s.play(t.Context(), demo.Human, "before", "caller", 2, publish.Impairment{}) // allocates the resources that are made once
	s.ended("before")
	http.DefaultClient.CloseIdleConnections()
	s.idle()
	goroutines, before := runtime.NumGoroutine(), heap()

	type outcome struct {
		sum   publish.Summary
		media *publish.Media
	}
	good := make(chan outcome, 1)
	go func() {
		sum, media := s.play(t.Context(), demo.Synthetic, "good", "caller", 30, publish.Impairment{})
		good <- outcome{sum, media}
	}()
	for end := time.Now().Add(20 * time.Second); s.app.Totals().Legs == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the good call did not begin")
		}
	}
	c := newCrowd(t, s.app.Addr())
	var next atomic.Int64
	var all sync.WaitGroup
	most := 0
	for range hostileAtOnce {
		all.Go(func() {
			for i := next.Add(1); i <= hostileSessions; i = next.Add(1) {
				c.attack(int(i))
			}
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for watching := true; watching; {
		select {
		case <-done:
			watching = false
		case <-time.After(100 * time.Millisecond):
			most = max(most, runtime.NumGoroutine())
		}
	}
	for _, client := range c.clients {
		client.CloseIdleConnections()
	}
	g := <-good
	if g.sum.Err() != nil || g.sum.Packets != int64(len(g.media.Packets)) {
		t.Errorf("the good sender: %+v", g.sum)
	}
	r := s.ended("good")
	if r.Decision != "flagged" || len(r.Legs) != 1 || r.Legs[0].Lost != 0 {
		t.Errorf("the good call: %+v", r)
	}
	_, m := s.get("GET", "/metrics", "")
	if want := fmt.Sprintf("callscreen_packets_received_total %d\n", len(g.media.Packets)+100); !strings.Contains(m["text"].(string), want) ||
		!strings.Contains(m["text"].(string), "callscreen_packets_lost_total 0\n") {
		t.Errorf("the metrics do not contain %q", want)
	}
	for _, bad := range []string{
		"huge: 201",
		"slow: 201",
		"wrong token: 201",
		"garbage: 201",
		"DELETE of others: 200",
		"DELETE of what is not: 200",
		"many media: 201",
		"PATCH: 500",
	} {
		if c.answers[bad] > 0 {
			t.Errorf("%s, %d times", bad, c.answers[bad])
		}
	}
	for _, want := range []string{
		"never connects: 201",
		"huge: 413",
		"wrong token: 401",
		"garbage: 400",
		"PATCH: 204",
		"PATCH: 429",
		"DELETE of others: 404",
		"many media: 422",
	} {
		if c.answers[want] == 0 {
			t.Errorf("response %s never occurred: the test does not cover it", want)
		}
	}
	t.Logf("answers: %v", c.answers)
	// Sessions that never connect are closed after 15 s, and their calls end a second later.
	http.DefaultClient.CloseIdleConnections()
	s.idle()
	var left int
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if left = runtime.NumGoroutine(); left <= goroutines+10 || time.Now().After(end) {
			break
		}
	}
	after := heap()
	t.Logf(
		"goroutines: %d before, at most %d, %d after; heap: %.1f MB before, %.1f MB after",
		goroutines,
		most,
		left,
		float64(before)/1e6,
		float64(after)/1e6,
	)
	if left > goroutines+10 {
		t.Errorf("%d goroutines run afterwards, %d before", left, goroutines)
	}
	if after > before+20e6 {
		t.Errorf("the heap has grown from %d to %d", before, after)
	}
}
