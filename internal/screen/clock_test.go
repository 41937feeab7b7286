package screen_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// onClock returns a node whose machine has a clock that can be set, wired as serve wires it.
func onClock(t *testing.T, dir string, c *clock) *node {
	t.Helper()
	storetest.Empty(t, dir)
	s, err := store.Open(t.Context(), store.Options{Dir: dir, Owner: true, Clock: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	n := newNode(t, options{
		dir:   dir,
		store: s,
		clock: c,
		courier: func(cfg *screen.ForwarderConfig) {
			cfg.Now, cfg.Since, cfg.MaxAge = s.Now, s.Since, time.Hour
		},
		desk: func(cfg *screen.DeciderConfig) { cfg.Now = s.Now },
	})
	n.wire = func(cfg *screen.MaintenanceConfig) {
		cfg.Now, cfg.Since, cfg.Expiry, cfg.MaxAge = s.Now, s.Since, s.Earliest, 10*time.Minute
	}
	return n
}

func (n *node) wired(cfg *screen.WorkerConfig) {
	cfg.Now, cfg.Since, cfg.MaxAge = n.store.Now, n.store.Since, 10*time.Minute
	cfg.Interval, cfg.Deadline = 10*time.Millisecond, 20*time.Second
}

func TestAClockThatIsSetLosesAndStopsNothing(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, time.Hour, -24 * time.Hour, 24 * time.Hour} {
		t.Run(fmt.Sprint(ahead), func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			n := onClock(t, t.TempDir(), c)
			n.call("before", 3) // its jobs were due by the clock of before
			n.record(n.part("spooled", 10), 2)
			c.advance(ahead)
			n.drain() // the spool has the age of before
			n.work(n.wired)
			for call, segments := range map[string]int{"before": 3, "spooled": 2} {
				if r := n.final(call); strings.Count(states(r), "scored") != segments {
					t.Errorf("%s: %s", call, states(r))
				}
			}
			n.call("after", 2)
			c.advance(-ahead) // and back, while it works
			n.call("last", 2)
			for _, call := range []string{"after", "last"} {
				if r := n.final(call); strings.Count(states(r), "scored") != 2 {
					t.Errorf("%s: %s", call, states(r))
				}
			}
			n.await("the jump is logged with its size", func() bool {
				text := n.log.String()
				return strings.Contains(text, "clock was set") && strings.Contains(text, "clock=machine") &&
					strings.Contains(text, "by="+(-ahead).String()[:3])
			})
		})
	}
}

func TestAClockThatIsSetBackBetweenRunsStopsNothing(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{}
	n := onClock(t, dir, c)
	n.call("before", 3)
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.spool.Close(); err != nil {
		t.Fatal(err)
	}
	c.advance(-time.Hour)
	again := onClock(t, dir, c)
	again.work(again.wired)
	if r := again.final("before"); strings.Count(states(r), "scored") != 3 {
		t.Error(states(r))
	}
	if !strings.Contains(again.log.String(), "due too far ahead") {
		t.Error(again.log.String())
	}
}

// A clock that is years ahead at a restart, as that of a machine without a time server, makes no segment too old.
func TestAClockThatIsAheadAtARestartAgesNothing(t *testing.T) {
	t.Parallel()
	dir, c := t.TempDir(), &clock{}
	n := onClock(t, dir, c)
	if err := errors.Join(n.store.Join(t.Context(), "n1", "o"), n.store.Heartbeat(t.Context(), "n1", 1)); err != nil {
		t.Fatal(err)
	}
	n.call("before", 3)
	n.record(n.part("spooled", 10), 2)
	if err := errors.Join(n.store.Close(), n.spool.Close()); err != nil {
		t.Fatal(err)
	}
	c.advance(3 * 365 * 24 * time.Hour)
	again := onClock(t, dir, c)
	if err := again.store.Join(t.Context(), "n1", "o"); err != nil {
		t.Fatal(err)
	}
	again.drain()
	again.work(again.wired)
	for call, segments := range map[string]int{"before": 3, "spooled": 2} {
		if r := again.final(call); strings.Count(states(r), "scored") != segments {
			t.Errorf("%s: %s", call, states(r))
		}
	}
}

// A segment that was recorded by a clock that was an hour behind is looked for, like any other, when its audio is not there for a moment:
// world 97,821 of the simulation.
func TestAudioIsLookedForWhateverTheClockSaid(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	n.clock.advance(2 * time.Hour)
	n.audio.fail(audio.ErrNotFound)
	n.work(func(c *screen.WorkerConfig) { c.MaxAge = 24 * time.Hour })
	n.await("the audio is missed", func() bool { return strings.Contains(n.log.String(), "segment audio not found") })
	n.audio.fail(nil)
	n.raw("UPDATE river_job SET state = 'available', scheduled_at = '2000-01-01 00:00:00'") // instead of a minute later
	if r := n.final("a"); states(r) != "caller0 scored" {
		t.Error(states(r))
	}
}
