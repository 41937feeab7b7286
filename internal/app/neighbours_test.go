package app_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/app"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// The clock of the machine is set back and forth by an hour and by a day while calls are recorded and analysed. Every segment
// that was safe gets its score, and the stop does not wait for the clock.
func TestTheClockIsSetWhileCallsAreRecorded(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	var mu sync.Mutex
	promised := map[string]bool{}
	s := newSidecarWith(t, simulator.Script{Latency: 300 * time.Millisecond}, auth.Tokens{"ingest": "in"}, func(c *config.Config) {
		c.Segment.FirstSpeech, c.Segment.TargetSpeech, c.Segment.MaxDuration = time.Second, time.Second, 2*time.Second
		c.Segment.MinSpeech = 500 * time.Millisecond
		c.Analysis.RatePerSecond = 50
		c.Analysis.MaxAge, c.Spool.MaxAge = 10*time.Minute, 10*time.Minute
	}, func(o *app.Options) {
		o.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		o.OnPromised = func(g store.SegmentRow) {
			mu.Lock()
			defer mu.Unlock()
			promised[g.ID] = true
		}
	})
	const legs = 4
	var all sync.WaitGroup
	for i := range legs {
		all.Go(func() {
			if sum, _ := s.play(t.Context(), demo.Human, fmt.Sprintf("call-%d", i), "caller", 12, publish.Impairment{}); sum.Err() != nil {
				t.Error(sum.Err())
			}
		})
	}
	for _, d := range []time.Duration{-time.Hour, time.Hour, 24 * time.Hour, -24 * time.Hour, 0} {
		time.Sleep(2 * time.Second)
		ahead.Store(int64(d))
	}
	all.Wait()
	ahead.Store(int64(-time.Hour)) // and once more right before the end
	start := time.Now()
	s.stop()
	took := time.Since(start)
	db, err := store.Open(t.Context(), store.Options{Dir: s.dir})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	states := map[string]int{}
	mu.Lock()
	defer mu.Unlock()
	for id := range promised {
		g, err := db.Segment(t.Context(), id)
		if err != nil {
			t.Errorf("segment %s is lost: %v", id, err)
			continue
		}
		states[g.State+" "+g.Reason]++
	}
	if n := states[store.SegmentScored+" "]; len(promised) < 4*legs || n != len(promised) {
		t.Errorf("%d safe segments: %v", len(promised), states)
	}
	if log := s.log.String(); !strings.Contains(log, "clock was set") || strings.Contains(log, "not analysed before shutdown") {
		t.Error(log)
	}
	t.Logf("| the clock is set by an hour and by a day, back and forth | %d safe segments, %v, stopped in %.1f s |",
		len(promised), states, took.Seconds())
}

// Two machines with a copy of one data_dir: the second process is refused by the name of the node.
func TestTheSecondProcessWithANodeFileIsRefused(t *testing.T) {
	t.Parallel()
	url := storetest.StartPostgres(t).Database()
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	first := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.Database = config.Secret(url) })
	name, err := os.ReadFile(filepath.Join(first.dir, "node"))
	if err != nil {
		t.Fatal(err)
	}
	second := config.Default()
	second.Listen, second.DataDir, second.Database = "127.0.0.1:0", t.TempDir(), config.Secret(url)
	second.WebRTC.UDPPort, second.WebRTC.TCPPort = 0, 0
	if err := os.WriteFile(filepath.Join(second.DataDir, "node"), name, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = app.New(t.Context(), app.Options{Config: second})
	if !errors.Is(err, store.ErrNodeInUse) || !strings.Contains(err.Error(), first.app.Node()) || !strings.Contains(err.Error(), "(hint: ") {
		t.Errorf("a second process with the name of a node: %v", err)
	}
	if code, h := first.get("GET", "/readyz", ""); code != http.StatusOK || h["delayed"] != nil {
		t.Errorf("the first process is disturbed: HTTP %d %v", code, h)
	}
}

// A node that sees another audio store than the rest is not ready and says so by name. Once it sees the right one it is.
func TestReadinessNamesANodeWithoutTheAudio(t *testing.T) {
	t.Parallel()
	url := storetest.StartPostgres(t).Database()
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	shared, empty := t.TempDir(), t.TempDir()
	with := func(dir string) func(*config.Config) {
		return func(c *config.Config) {
			c.Database, c.Audio = config.Secret(url), dir
			c.Segment.FirstSpeech, c.Segment.TargetSpeech = time.Second, time.Second
		}
	}
	right := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in"}, with(shared))
	if sum, _ := right.play(t.Context(), demo.Human, "one", "caller", 5, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	right.ended("one")
	wrong := newSidecar(t, simulator.Script{}, nil, with(empty))
	wrong.errors = 1
	answer := func(s *sidecar, want int) (h map[string]any) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			code, h := s.get("GET", "/readyz", "")
			if code == want {
				return h
			}
			if time.Now().After(end) {
				t.Fatalf("HTTP %d %v", code, h)
			}
		}
	}
	h := answer(wrong, http.StatusServiceUnavailable)
	if faults, _ := h["faults"].(map[string]any); !strings.HasPrefix(fmt.Sprint(faults["audio"]), "node "+wrong.app.Node()+": ") {
		t.Errorf("%v", h)
	}
	answer(right, http.StatusOK)
	end := time.Now().Add(30 * time.Second)
	for !strings.Contains(wrong.log.String(), "audio store not usable") {
		if time.Now().After(end) {
			t.Fatal("the fault is not logged")
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := os.Remove(empty); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shared, empty); err != nil {
		t.Fatal(err)
	}
	answer(wrong, http.StatusOK)
}
