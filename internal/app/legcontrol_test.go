package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/testkit"
)

// Known faults: any sender could pause or stop the leg of another, and a second session of a leg was accepted and not recorded.
// Another sender gets 409 and 403. The same sender takes the leg over at once, and the old session ends.
func TestOnlyItsSenderControlsALeg(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
		for _, name := range []string{"a", "b"} {
			c.Auth.Tokens = append(c.Auth.Tokens, config.Token{
				Name:   name,
				Roles:  []string{"ingest"},
				SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("token-"+name))),
			})
		}
	})
	send := func(token string) error {
		media, err := publish.Opus(bytes.NewReader(demo.Human))
		if err != nil {
			t.Error(err)
			return nil
		}
		media.Packets = media.Packets[:4*50]
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		sum, err := publish.Run(ctx, media, &publish.Options{To: "http://" + s.app.Addr() + "/whip/c/caller", Token: token})
		if err == nil {
			err = sum.Err()
		}
		return err
	}
	await := func(what string, so func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) { // packets have no event to wait for
			if time.Now().After(end) {
				t.Fatalf("%s: never", what)
			}
		}
	}
	var first sync.WaitGroup
	first.Go(func() { _ = send("token-a") }) // its session is taken over
	await("the first session records", func() bool { return s.app.Totals().Packets.Received > 20 })
	if err := send("token-b"); err == nil || !strings.Contains(err.Error(), "409") && !strings.Contains(err.Error(), "another sender") {
		t.Errorf("another sender: %v", err)
	}
	for _, c := range []struct {
		action, token string
		want          int
	}{
		{"pause", "token-b", 403},
		{"resume", "token-b", 403},
		{"stop", "token-b", 403},
		{"pause", "token-a", 200},
		{"resume", "rev", 200},
	} {
		if code, a := s.get("POST", "/api/v1/calls/c/legs/caller/"+c.action, c.token); code != c.want {
			t.Errorf("%s with %s: HTTP %d %v, want %d", c.action, c.token, code, a, c.want)
		}
	}
	if err := send("token-a"); err != nil {
		t.Errorf("the same sender again: %v", err)
	}
	first.Wait()
	if n := s.app.Totals().TakenOver; n != 1 {
		t.Errorf("%d sessions were taken over, want 1", n)
	}
	if n := s.scrape().value("callscreen_ledgers_unclosed"); n != 0 {
		t.Errorf("%v ledgers do not close", n)
	}
	r := s.ended("c")
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "a session of another sender (b) was refused") {
		t.Errorf("%q", r.Warnings)
	}
	if p := r.Legs[0].Ledger.Pauses; len(p) != 1 || p[0].By != "a" || p[0].ResumedBy != "reviewer" {
		t.Errorf("%+v", p)
	}
}

// request sends one, and returns the status and the Location of the answer.
func request(t *testing.T, method, url, token, contentType, body string) (status int, location string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, resp.Header.Get("Location")
}

// A leg stays with its sender while one session of it is open, whichever: the end of an older one does not give the leg to others.
func TestALegStaysWithItsSender(t *testing.T) {
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
		c.Auth.Tokens = []config.Token{fixed("ours", "ours", "ingest"), fixed("theirs", "theirs", "ingest")}
	})
	do := func(method, path, token string) (int, string) {
		t.Helper()
		return request(t, method, s.app.URL()+path, token, "application/sdp", hostileOffer(1))
	}
	const leg = "/whip/call/caller"
	_, first := do("POST", leg, "ours")
	_, second := do("POST", leg, "ours")
	for i, step := range []struct {
		method, path, token string
		want                int
	}{
		{"POST", leg, "theirs", 409},
		{"DELETE", first, "ours", 200},
		{"POST", leg, "theirs", 409},
		{"POST", "/api/v1/calls/call/legs/caller/stop", "theirs", 403},
		{"DELETE", second, "ours", 200},
		{"POST", "/api/v1/calls/call/legs/caller/pause", "theirs", 403}, // ours may come back
		{"POST", "/api/v1/calls/call/legs/caller/stop", "theirs", 403},
		{"POST", leg, "theirs", 201},
	} {
		if got, _ := do(step.method, step.path, step.token); got != step.want {
			t.Errorf("step %d, %s %s by %s: HTTP %d, want %d", i+1, step.method, step.path, step.token, got, step.want)
		}
	}
}

// A stop ends all sessions of the leg, and none of another leg whose path has the same name.
func TestAStopEndsTheSessionsOfItsLeg(t *testing.T) {
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
		c.Auth.Tokens = []config.Token{fixed("ours", "ours", "ingest"), fixed("theirs", "theirs", "ingest")}
	})
	do := func(method, path, token string) (int, string) {
		t.Helper()
		return request(t, method, s.app.URL()+path, token, "application/sdp", hostileOffer(1))
	}
	_, first := do("POST", "/whip/c/caller", "ours")
	_, second := do("POST", "/whip/c/caller", "ours")
	_, decoy := do("POST", "/whip/c/caller?channels=d0,e0", "theirs")
	_, stereo := do("POST", "/whip/c/x?channels=left,right", "ours")
	for i, step := range []struct {
		method, path, token string
		want                int
	}{
		{"POST", "/api/v1/calls/c/legs/x/stop", "theirs", 404}, // no leg has the name
		{"GET", stereo, "ours", 204},
		{"POST", "/api/v1/calls/c/legs/caller/stop", "rev", 200},
		{"DELETE", first, "ours", 404},
		{"DELETE", second, "ours", 404},
		{"DELETE", decoy, "theirs", 200},
		{"POST", "/api/v1/calls/c/legs/right/stop", "theirs", 403},
		{"POST", "/api/v1/calls/c/legs/right/stop", "ours", 200},
		{"DELETE", stereo, "ours", 404},
	} {
		if got, _ := do(step.method, step.path, step.token); got != step.want {
			t.Errorf("step %d, %s %s by %s: HTTP %d, want %d", i+1, step.method, step.path, step.token, got, step.want)
		}
	}
}

// A pull is ended by its sender and by reviewers, and a token has its share of the pulls.
func TestPullsBelongToTheirSenders(t *testing.T) {
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"reviewer": "rev"}, func(c *config.Config) {
		c.Auth.Tokens = []config.Token{fixed("ours", "ours", "ingest"), fixed("theirs", "theirs", "ingest")}
		c.WebRTC.WHEPAllow = []string{"127.0.0.1"}
		c.WebRTC.MaxSessions, c.WebRTC.MaxSessionsPerToken = 10, 2
	})
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	t.Cleanup(away.Close)
	do := func(method, leg, token string) int {
		t.Helper()
		path := "/api/v1/calls/c/legs/" + leg + "/whep"
		status, _ := request(t, method, s.app.URL()+path, token, "application/json", `{"url":"`+away.URL+`"}`)
		return status
	}
	for i, step := range []struct {
		method, leg, token string
		want               int
	}{
		{"POST", "a", "ours", 201},
		{"POST", "b", "ours", 201},
		{"POST", "c", "ours", 429},
		{"POST", "c", "theirs", 201},
		{"DELETE", "a", "theirs", 403},
		{"DELETE", "a", "ours", 200},
		{"DELETE", "b", "rev", 200},
		{"POST", "d", "ours", 201},
	} {
		if got := do(step.method, step.leg, step.token); got != step.want {
			t.Errorf("step %d, %s %s by %s: HTTP %d, want %d", i+1, step.method, step.leg, step.token, got, step.want)
		}
	}
}

// One address cannot take the descriptors of the process by connections to the TCP port of the media.
func TestConnectionsOfTheMediaPortAreBounded(t *testing.T) {
	port := 0
	s := newSidecar(t, simulator.Script{}, auth.Tokens{}, func(c *config.Config) {
		port = testkit.FreePort(t)
		c.WebRTC.TCPPort, c.WebRTC.MaxSessions = port, 10
	})
	open := func(from string, n int) (kept int) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 20 * time.Second}
		var list []net.Conn
		for range n {
			c, err := d.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			list = append(list, c)
		}
		for _, c := range list {
			_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				kept++
			}
		}
		return kept
	}
	const each = 256 / 4
	if n := open("127.0.0.5", 3*each); n > each || n == 0 {
		t.Errorf("%d connections of one address are open", n)
	}
	if n := open("127.0.0.6", 1); n != 1 {
		t.Error("another address gets no connection")
	}
	if n := s.scrape().value(`callscreen_clients_limited_total{limit="connections"}`); n < 2*each {
		t.Errorf("%v connections are counted as refused", n)
	}
}
