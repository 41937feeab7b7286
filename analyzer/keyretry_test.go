package analyzer_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
)

// guarded is a client of an API that can start and stop rejecting the key.
type guarded struct {
	*rig
	clock    *leapClock
	requests atomic.Int64
	status   atomic.Int64  // of the answers; 0 accepts the key
	hold     chan struct{} // if not nil, answers wait for it
}

func newGuarded(t *testing.T, retry time.Duration) *guarded {
	t.Helper()
	g := &guarded{clock: &leapClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}}
	api := simulator.New(simulator.Script{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.requests.Add(1)
		if g.hold != nil {
			<-g.hold
		}
		if status := g.status.Load(); status != 0 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(int(status))
			return
		}
		api.ServeHTTP(w, r)
	}))
	g.rig = newRig(t, simulator.Script{}, func(o *analyzer.Options) { o.BaseURL, o.KeyRetry, o.Clock = server.URL, retry, g.clock })
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		server.Close()
	})
	return g
}

func (g *guarded) submit(t *testing.T) string {
	t.Helper()
	_, err := g.client.Submit(t.Context(), recording(1, 100))
	if err == nil {
		return "accepted"
	}
	return analyzer.Reason(err)
}

// pass advances the clock.
func (g *guarded) pass(d time.Duration) { g.clock.After(d) }

// A rejected key is retested from time to time with one request. After it is accepted, submissions continue.
func TestAKeyThatWasRefusedIsAskedAboutAgain(t *testing.T) {
	g := newGuarded(t, time.Minute)
	g.status.Store(401)
	for i, c := range []struct {
		after    time.Duration
		status   int64
		want     string
		requests int64
	}{
		{0, 401, "unauthorized", 1},
		{0, 401, "unauthorized", 0},
		{59 * time.Second, 0, "unauthorized", 0}, // it would be accepted, but it is not time
		{time.Second, 403, "unauthorized", 1},
		{59 * time.Second, 0, "unauthorized", 0},
		{time.Second, 503, "unavailable", 1}, // no result for the key
		{time.Second, 0, "unauthorized", 0},
		{time.Minute, 0, "accepted", 1},
		{0, 0, "accepted", 1},
		{0, 401, "unauthorized", 1},
		{0, 0, "unauthorized", 0},
	} {
		g.pass(c.after)
		g.status.Store(c.status)
		before := g.requests.Load()
		if got := g.submit(t); got != c.want || g.requests.Load()-before != c.requests {
			t.Errorf("step %d: %s with %d requests, want %s with %d", i, got, g.requests.Load()-before, c.want, c.requests)
		}
	}
	log := g.log.String()
	if strings.Count(log, "rejects the key") != 2 || strings.Count(log, "accepts the key again") != 1 ||
		strings.Contains(log, secret) {
		t.Error(log)
	}
}

func TestManyAskAboutARefusedKeyWithOneRequest(t *testing.T) {
	g := newGuarded(t, time.Minute)
	g.status.Store(401)
	g.submit(t)
	g.pass(time.Minute)
	g.status.Store(0)
	g.hold = make(chan struct{})
	const askers = 20
	answers := make(chan string, askers)
	var all sync.WaitGroup
	for range askers {
		all.Go(func() { answers <- g.submit(t) })
	}
	for range askers - 1 { // those that do not ask do not wait either
		if got := <-answers; got != "unauthorized" {
			t.Error(got)
		}
	}
	close(g.hold)
	all.Wait()
	if got := <-answers; got != "accepted" || g.requests.Load() != 2 {
		t.Errorf("%s, %d requests", got, g.requests.Load())
	}
	if got := g.submit(t); got != "accepted" {
		t.Error(got)
	}
}

func TestARefusedKeyIsNeverAskedAboutAgainByDefault(t *testing.T) {
	g := newGuarded(t, 0)
	g.status.Store(403)
	g.submit(t)
	g.status.Store(0)
	g.pass(1000 * time.Hour)
	if got := g.submit(t); got != "unauthorized" || g.requests.Load() != 1 {
		t.Errorf("%s, %d requests", got, g.requests.Load())
	}
}
