package app_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// offer posts an offer and returns the status.
func (s *sidecar) offer(client *http.Client, call, text string) int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+s.app.Addr()+"/whip/"+call+"/caller", strings.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer in")
	r.Header.Set("Content-Type", "application/sdp")
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// calls returns the ids of the calls in the list of the API.
func (s *sidecar) calls() string {
	s.t.Helper()
	status, list := s.get("GET", "/api/v1/calls", "rev")
	if status != http.StatusOK {
		s.t.Fatalf("HTTP %d %v", status, list)
	}
	return fmt.Sprint(list["calls"])
}

// An offer that is refused leaves no call in the list, which shows live calls and those of the database.
func TestARefusedOfferLeavesNoCall(t *testing.T) {
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "rev"}, nil)
	good := hostileOffer(1)
	for i, c := range []struct {
		old, new string
		want     int
	}{
		{"m=audio 9", "m=audio 0", 406},
		{"m=audio", "m=video", 406},
		{"opus/48000/2", "speex/8000", 406},
		{"a=sendonly", "a=recvonly", 422},
		{"a=sendonly", "a=inactive", 422},
		{"a=setup:actpass", "a=setup:holdconn", 422},
		{"a=ice-ufrag:evil", "a=ice-ufrag:" + strings.Repeat("x", 300), 400},
		{"a=fingerprint", "a=x", 400},
		{"v=0", "hello", 400},
	} {
		if got := s.offer(http.DefaultClient, fmt.Sprint("refused-", i), strings.Replace(good, c.old, c.new, 1)); got != c.want {
			t.Errorf("%s: HTTP %d, want %d", c.new, got, c.want)
		}
	}
	if got := s.offer(http.DefaultClient, "accepted", good); got != http.StatusCreated {
		t.Fatalf("HTTP %d", got)
	}
	for end := time.Now().Add(15 * time.Second); !strings.Contains(s.calls(), "accepted"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the accepted call is not in the list: %s", s.calls())
		}
	}
	if list := s.calls(); strings.Contains(list, "refused") {
		t.Errorf("refused offers are in the list: %s", list)
	}
}

// The goroutines of senders that never connect are gone when the limits for connecting and for trying again have passed: 15 s
// and 10 s.
func TestSessionsThatNeverConnectLeaveNoGoroutine(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "rev"}, func(c *config.Config) {
		c.WebRTC.MaxSessions = 2000 // an eighth of them for one address
	})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	s.play(t.Context(), demo.Human, "before", "caller", 2, publish.Impairment{}) // allocates the resources that are made once
	s.ended("before")
	http.DefaultClient.CloseIdleConnections()
	s.idle()
	before := runtime.NumGoroutine()
	for i := range 200 {
		candidates := fmt.Sprintf("a=candidate:2 1 tcp 1 127.0.0.1 %d typ host tcptype passive\r\n", 1+i)
		if got := s.offer(client, fmt.Sprint("never-", i), hostileOffer(i)+candidates); got != http.StatusCreated {
			t.Fatalf("HTTP %d", got)
		}
	}
	most := runtime.NumGoroutine()
	var left int
	for end := time.Now().Add(35 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		s.idle()
		if left = runtime.NumGoroutine(); left <= before || time.Now().After(end) {
			break
		}
	}
	t.Logf("goroutines: %d before, %d with 200 sessions, %d after", before, most, left)
	if left > before+10 {
		t.Errorf("%d goroutines run afterwards, %d before", left, before)
	}
}
