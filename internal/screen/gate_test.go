package screen

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// tested returns a gate, after the given number of failures.
func tested(failures int, doubt bool) *gate {
	g := &gate{rest: time.Second, log: slog.New(slog.DiscardHandler)}
	for range failures {
		g.enter().failed(doubt)
	}
	return g
}

// Failures in a row suspend submissions, uploads of unknown outcome earlier. An answer in between does not.
func TestTheGateIsSuspendedByFailuresInARow(t *testing.T) {
	for _, c := range []struct {
		failures int
		doubt    bool
		closed   bool
	}{{gateFailures - 1, false, false}, {gateFailures, false, true}, {gateDoubts - 1, true, false}, {gateDoubts, true, true}} {
		if g := tested(c.failures, c.doubt); g.closed() != c.closed {
			t.Errorf("after %d failures, doubt %v: closed is %v", c.failures, c.doubt, g.closed())
		}
	}
	g := tested(gateFailures-1, false)
	g.enter().answered()
	g.enter().failed(false)
	if g.closed() {
		t.Error("an answer does not count")
	}
}

// During a suspension one submission at a time is tried, with pauses. After uploads of unknown outcome they grow, and an API
// that does not answer a probe costs one rest.
func TestTheGateTriesOneSubmissionAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := tested(gateDoubts, true)
		if g.enter() != nil {
			t.Fatal("no pause")
		}
		for _, c := range []struct {
			end   func(*pass)
			pause time.Duration
		}{
			{(*pass).unanswered, time.Second},
			{func(p *pass) { p.failed(true) }, 2 * time.Second},
			{func(p *pass) { p.failed(true) }, 4 * time.Second},
			{func(p *pass) { p.failed(false) }, time.Second},
			{func(p *pass) { p.failed(true) }, 8 * time.Second},
			{func(p *pass) { p.failed(true) }, 12 * time.Second},
			{func(p *pass) { p.failed(true) }, 12 * time.Second},
			{(*pass).release, 0},
		} {
			time.Sleep(13 * time.Second)
			p := g.enter()
			if p == nil || !p.trial || g.enter() != nil {
				t.Fatal("not one trial")
			}
			c.end(p)
			if c.pause > 0 {
				time.Sleep(c.pause - time.Nanosecond)
				if g.enter() != nil {
					t.Fatalf("a trial before %v", c.pause)
				}
				time.Sleep(time.Nanosecond)
			}
			again := g.enter()
			if again == nil {
				t.Fatalf("no trial after %v", c.pause)
			}
			again.release()
		}
		g.enter().answered()
		if g.closed() || g.enter() == nil || g.enter() == nil {
			t.Error("not open again")
		}
	})
}

// Probes without an answer suspend submissions as failed uploads do.
func TestTheGateIsSuspendedByProbesWithoutAnAnswer(t *testing.T) {
	g := tested(1, true)
	for range gateFailures - 1 {
		if g.closed() {
			t.Fatal("closed early")
		}
		g.enter().unanswered()
	}
	if !g.closed() {
		t.Error("not closed")
	}
}

// The end of an upload that was under way before a suspension neither ends a trial nor begins another pause.
func TestTheGateKeepsItsPauseWhenEarlierUploadsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{rest: time.Second, log: slog.New(slog.DiscardHandler)}
		early := g.enter()
		for range gateFailures {
			g.enter().failed(false)
		}
		time.Sleep(time.Second)
		trial := g.enter()
		early.failed(true)
		if trial == nil || g.enter() != nil {
			t.Error("a second trial")
		}
		trial.release()
		if g.enter() == nil {
			t.Error("a new pause")
		}
	})
}
