package store_test

import (
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/store"
)

// setClock is a clock of the machine that a test sets.
type setClock struct{ ahead atomic.Int64 }

func (c *setClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *setClock) set(d time.Duration) { c.ahead.Store(int64(d)) }

func TestTheRateLimitSurvivesAClockThatIsSet(t *testing.T) {
	t.Parallel()
	const interval, longest = time.Second, 15 * time.Second
	dir := t.TempDir()
	var c setClock
	s := open(t, store.Options{Dir: dir, Owner: true, Clock: c.now})
	reserve := func(name string, least, most time.Duration) {
		t.Helper()
		wait, ok, err := s.Reserve(t.Context(), "submit", interval, longest)
		if err != nil || !ok || wait < least || wait > most {
			t.Errorf("%s: wait of %v, %v, %v", name, wait, ok, err)
		}
	}
	reserve("first", 0, 0)
	reserve("second", interval/10, interval)
	for _, ahead := range []time.Duration{-time.Hour, time.Hour, -24 * time.Hour, 24 * time.Hour, 0} {
		c.set(ahead)
		reserve("after a jump", interval/10, 7*interval) // the rate holds, as if nothing had happened
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, ahead := range []time.Duration{-time.Hour, -48 * time.Hour, time.Hour} { // and over restarts
		c.set(ahead)
		s = open(t, store.Options{Dir: dir, Owner: true, Clock: c.now})
		reserve("after a restart", 0, longest)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheJobQueueHasATimeThatDoesNotJump(t *testing.T) {
	t.Parallel()
	var c setClock
	s := open(t, store.Options{Dir: t.TempDir(), Owner: true, Clock: c.now})
	queue := s.QueueTime().Time
	if queue == nil {
		t.Fatal("the job queue has the time of the machine")
	}
	before := queue.Now()
	for _, ahead := range []time.Duration{time.Hour, -24 * time.Hour, 0} {
		c.set(ahead)
		if d := queue.Now().Sub(before); d < 0 || d > time.Minute {
			t.Errorf("clock set by %v: the time of the job queue jumped by %v", ahead, d)
		}
		if now := queue.NowOrNil(); now == nil || now.Sub(before) < 0 || now.Sub(before) > time.Minute {
			t.Errorf("clock set by %v: queries of the job queue have %v", ahead, now)
		}
	}
}
