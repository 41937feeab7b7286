package whip_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/internal/rtc"
	"callscreen/internal/whip"
)

const fragmentKind = "application/trickle-ice-sdpfrag"

// withCandidates returns an offer whose candidates are replaced.
func withCandidates(offer string, candidates ...string) string {
	var b strings.Builder
	for line := range strings.Lines(offer) {
		if !strings.HasPrefix(line, "a=candidate:") && !strings.HasPrefix(line, "a=end-of-candidates") {
			b.WriteString(line)
		}
	}
	for _, c := range candidates {
		b.WriteString("a=candidate:" + c + "\r\n")
	}
	return b.String()
}

// victim counts the bytes of UDP that arrive at any loopback address.
type victim struct {
	port  int
	bytes atomic.Int64
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{port: c.LocalAddr().(*net.UDPAddr).Port}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, _, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			v.bytes.Add(int64(n))
		}
	}()
	t.Cleanup(func() {
		_ = c.Close() // ends the reader
		<-done
	})
	return v
}

// A sender that names addresses of others and never answers makes this side send them no more than it has sent itself, in
// all of its requests.
func TestChecksAreNotMoreThanTheRequests(t *testing.T) {
	v := newVictim(t)
	h := newHouse(t, unlimited)
	_, sdp := newSender(t, false)
	var candidates []string
	for i := range 190 {
		candidates = append(candidates, fmt.Sprintf("%d 1 udp %d 127.0.1.%d %d typ host", i, 1000-i, i+1, v.port))
	}
	offer := withCandidates(sdp, candidates...)
	sent := int64(len(offer))
	a := h.post(offer)
	if a.status != http.StatusCreated {
		t.Fatalf("HTTP %d %s", a.status, a.body)
	}
	time.Sleep(2 * time.Second)
	first := v.bytes.Load()
	if first == 0 || first > sent {
		t.Errorf("%d bytes of checks for an offer of %d bytes", first, sent)
	}
	for i, ufrag := range []string{attribute(sdp, "ice-ufrag"), "other", "another"} { // the last two are restarts
		pwd := attribute(sdp, "ice-pwd")
		body := fmt.Sprintf(fragmentOf, ufrag, pwd) +
			fmt.Sprintf("a=candidate:%d 1 udp 1 127.0.2.%d %d typ host\r\n", i, i+1, v.port)
		sent += int64(len(body))
		if p := h.ask(http.MethodPatch, a.header.Get("Location"), body, "Content-Type", fragmentKind); p.status/100 != 2 {
			t.Errorf("HTTP %d %s", p.status, p.body)
		}
		time.Sleep(time.Second)
	}
	t.Logf("%d bytes of checks after the offer, %d in all, for %d bytes of requests", first, v.bytes.Load(), sent)
	if v.bytes.Load() > sent {
		t.Errorf("%d bytes of checks for requests of %d bytes", v.bytes.Load(), sent)
	}
}

// An ICE-lite sender waits for checks. Its last candidate is checked although the others take from the same bytes.
func TestTheLastCandidateIsChecked(t *testing.T) {
	h := newHouse(t, nil)
	s, sdp := newSenderWith(
		t,
		false,
		func(settings *webrtc.SettingEngine) { settings.SetLite(true) },
		func(*webrtc.PeerConnection) error { return nil },
	)
	var candidates []string
	for i := range 8 {
		candidates = append(candidates, fmt.Sprintf("%d 1 udp %d 127.0.1.%d 9 typ host", 100+i, 1000-i, i+1))
	}
	for line := range strings.Lines(sdp) {
		if c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:"); ok && strings.Contains(c, " 127.0.0.1 ") {
			candidates = append(candidates, c)
		}
	}
	if len(candidates) < 9 {
		t.Fatalf("the offer has no loopback candidate: %s", sdp)
	}
	s.accept(t, h.post(withCandidates(sdp, candidates...)))
	h.until("media", func() bool { return h.heard("caller") > 5 })
}

// The checks reach a sender that waits for them at every kind of candidate, in the offer or afterwards.
func TestChecksReachEveryKindOfCandidate(t *testing.T) {
	for _, kind := range []string{"host", "srflx raddr 127.0.0.1 rport 9", "relay raddr 127.0.0.1 rport 9"} {
		for _, trickle := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, trickle), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, nil)
				s, sdp := newSenderWith(
					t,
					false,
					func(settings *webrtc.SettingEngine) { settings.SetLite(true) },
					func(*webrtc.PeerConnection) error { return nil },
				)
				candidate := ""
				for line := range strings.Lines(sdp) {
					c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:")
					if words := strings.Fields(c); ok && words[1] == "1" && words[4] == "127.0.0.1" {
						candidate = strings.Join(words[:7], " ") + " " + kind
					}
				}
				if !trickle {
					s.accept(t, h.post(withCandidates(sdp, candidate)))
				} else {
					a := h.post(withCandidates(sdp))
					s.accept(t, a)
					body := fmt.Sprintf(fragmentOf, attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd")) + "a=candidate:" + candidate + "\r\n"
					if p := h.ask(http.MethodPatch, a.header.Get("Location"), body, "Content-Type", fragmentKind); p.status != 204 {
						t.Errorf("HTTP %d %s", p.status, p.body)
					}
				}
				h.until("media", func() bool { return h.heard("caller") > 5 })
			})
		}
	}
}

// A server with ICE-lite sends no checks, and its answers to those of the sender are within the budget.
func TestAnICELiteServerIsReached(t *testing.T) {
	engine, err := rtc.New(rtc.Config{TCPPort: -1, Lite: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	h := newHouse(t, func(c *whip.Config) { c.Engine = engine })
	s, sdp := newSender(t, false)
	s.accept(t, h.post(sdp))
	h.until("media", func() bool { return h.heard("caller") > 300 }) // longer than the time between two consent checks
}

// No TCP connection is opened to the passive candidates of a sender, neither to those of an offer nor to later ones.
func TestNoTCPConnectionIsOpened(t *testing.T) {
	engine, err := rtc.New(rtc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			opened.Add(1)
			_ = c.Close() // counted
		}
	}()
	defer func() { _ = l.Close(); <-done }()
	h := newHouse(t, func(c *whip.Config) { c.Engine = engine })
	_, sdp := newSender(t, false)
	passive := func(i int) string {
		return fmt.Sprintf("%d 1 tcp 1518280447 127.0.0.1 %d typ host tcptype passive", i, l.Addr().(*net.TCPAddr).Port)
	}
	a := h.post(withCandidates(sdp, passive(1)))
	if a.status != http.StatusCreated {
		t.Fatalf("HTTP %d %s", a.status, a.body)
	}
	for i, ufrag := range []string{attribute(sdp, "ice-ufrag"), "other"} {
		body := fmt.Sprintf(fragmentOf, ufrag, attribute(sdp, "ice-pwd")) + "a=candidate:" + passive(2+i) + "\r\n"
		if p := h.ask(http.MethodPatch, a.header.Get("Location"), body, "Content-Type", fragmentKind); p.status/100 != 2 {
			t.Errorf("HTTP %d %s", p.status, p.body)
		}
		time.Sleep(500 * time.Millisecond)
	}
	if n := opened.Load(); n > 0 {
		t.Errorf("%d TCP connections were opened", n)
	}
}

// ice-ufrag and ice-pwd have at most 256 characters, RFC 8839 section 5.4.
func TestICECredentialsAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	_, sdp := newSender(t, false)
	a := h.post(sdp)
	ufrag, pwd := attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd")
	for _, long := range []struct{ ufrag, pwd string }{
		{strings.Repeat("u", 257), pwd}, {ufrag, strings.Repeat("p", 257)},
	} {
		offer := strings.NewReplacer("a=ice-ufrag:"+ufrag, "a=ice-ufrag:"+long.ufrag, "a=ice-pwd:"+pwd, "a=ice-pwd:"+long.pwd).Replace(sdp)
		if b := h.post(offer); b.status != 400 {
			t.Errorf("an offer: HTTP %d %s", b.status, b.body)
		}
		body := fmt.Sprintf(fragmentOf, long.ufrag, long.pwd)
		if p := h.ask(http.MethodPatch, a.header.Get("Location"), body, "Content-Type", fragmentKind); p.status != 400 {
			t.Errorf("a fragment: HTTP %d %s", p.status, p.body)
		}
	}
	longest := fmt.Sprintf(fragmentOf, strings.Repeat("u", 256), strings.Repeat("p", 256))
	if p := h.ask(http.MethodPatch, a.header.Get("Location"), longest, "Content-Type", fragmentKind); p.status != 200 {
		t.Errorf("the longest: HTTP %d %s", p.status, p.body)
	}
}
