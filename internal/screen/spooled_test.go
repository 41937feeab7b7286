package screen_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/spool"
)

// Audio that cannot be delivered within MaxAge is given up and logged as an error. It is deleted during the outage, and its
// segment fails.
func TestAudioThatIsTooOldIsGivenUp(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.ForwarderConfig) { c.MaxAge = 24 * time.Hour }})
	n.audio.fail(errors.New("connection refused"))
	n.record(n.part("a", 0), 3)
	n.clock.advance(25 * time.Hour)
	stop := n.carry()
	n.await("the audio is deleted", func() bool {
		return !slices.ContainsFunc(n.spool.Entries(), func(e spool.Entry) bool { return e.Audio })
	})
	n.audio.fail(nil)
	r := n.final("a")
	stop()
	if states(r) != "caller0 failed/storage, caller1 failed/storage, caller2 failed/storage" || r.Decision != "inconclusive" ||
		!slices.Contains(r.Reasons, "storage") ||
		!r.Review {
		t.Errorf("%s %+v", states(r), r)
	}
	if !strings.Contains(r.Segments[0].Detail, "24h0m0s") || r.Segments[0].Audio {
		t.Errorf("%+v", r.Segments[0])
	}
	if log := n.log.String(); strings.Count(log, "segment failed") != 3 || n.log.Errors() < 3 {
		t.Error(log)
	}
}

// Old audio is also given up during an outage of the database, without any query.
func TestAudioThatIsTooOldIsGivenUpWithoutADatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	old := func(c *screen.ForwarderConfig) { c.MaxAge = 24 * time.Hour }
	n := newNode(t, options{dir: dir, courier: old})
	n.record(n.part("a", 0), 3)
	n.clock.advance(23 * time.Hour)
	if err := n.courier.Take(n.part("b", 0), piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	n.clock.advance(2 * time.Hour)
	stop := n.carry()
	n.await("the old audio is deleted", func() bool { return strings.Count(n.log.String(), "segment failed") == 3 })
	stop()
	audio := 0
	for _, e := range n.spool.Entries() {
		if e.Audio {
			audio++
		}
	}
	if audio != 1 {
		t.Errorf("the audio of %d segments was not deleted", audio)
	}
	again := newNode(t, options{dir: dir, courier: old, clock: n.clock})
	again.drain()
	if r := again.report("a"); states(r) != "caller0 failed/storage, caller1 failed/storage, caller2 failed/storage" ||
		r.Decision != "inconclusive" ||
		!r.Final {
		t.Errorf("%s %+v", states(r), r)
	}
	if r := again.report("b"); states(r) != "caller0 recorded" {
		t.Errorf("%s %+v", states(r), r)
	}
}

// Audio that is given up may have reached the audio store before. It is deleted there too, because no row refers to it and
// retention would never find it.
func TestGivenUpAudioIsDeletedWhereverItIs(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.ForwarderConfig) { c.MaxAge = 24 * time.Hour }})
	n.record(n.part("a", 0), 2)
	id := n.spool.Entries()[1].ID
	key := id[9:11] + "/" + id + ".wav"
	if err := n.audio.Store.Put(t.Context(), key, n.spool.AudioPath(id)); err != nil {
		t.Fatal(err)
	}
	n.clock.advance(25 * time.Hour)
	n.drain()
	if r := n.report("a"); states(r) != "caller0 failed/storage, caller1 failed/storage" || !r.Final {
		t.Errorf("%s %+v", states(r), r)
	}
	if n.audio.has(t, key) || n.spool.Stats().Entries != 0 {
		t.Errorf("audio was not deleted; spool: %+v", n.spool.Stats())
	}
}

func TestYoungAudioIsNotGivenUp(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{courier: func(c *screen.ForwarderConfig) { c.MaxAge = 24 * time.Hour }})
	n.clock.advance(23 * time.Hour)
	n.record(n.part("a", 0), 2)
	n.clock.advance(23 * time.Hour)
	n.drain()
	if r := n.report("a"); states(r) != "caller0 recorded, caller1 recorded" {
		t.Error(states(r))
	}
}

// A segment that does not fit into a full spool fails: its call is inconclusive, and never clear.
func TestAFullSpoolMakesACallInconclusive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		most   int64
		failed int
		want   string
	}{
		"there is room":   {1_000_000, 0, "clear"},
		"for one segment": {130_000, 2, "inconclusive"},
		"for none":        {1000, 3, "inconclusive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{spool: spool.Config{MaxBytes: c.most}})
			p := n.part("a", 0)
			lost := 0
			for i := range 3 {
				if err := n.courier.Take(p, piece("caller", i)); err != nil {
					if lost++; !errors.Is(err, spool.ErrFull) || !strings.Contains(err.Error(), "segment") {
						t.Error(err)
					}
				}
			}
			n.end(p)
			n.drain()
			n.work(nil)
			r := n.final("a")
			if r.Decision != c.want || lost != c.failed || strings.Count(states(r), "failed/storage") != c.failed || len(r.Segments) != 3 {
				t.Errorf("%d lost, %s, %s %v", lost, states(r), r.Decision, r.Reasons)
			}
			if c.failed > 0 && (!slices.Contains(r.Reasons, "storage") || !r.Review) {
				t.Errorf("%v", r.Reasons)
			}
		})
	}
}

// A segment whose audio was removed from the spool fails, so that its call does not wait without limit.
func TestAudioThatIsGoneFromTheSpool(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.record(n.part("a", 0), 2)
	if err := os.Remove(n.spool.AudioPath(n.spool.Entries()[1].ID)); err != nil {
		t.Fatal(err)
	}
	n.drain()
	n.work(nil)
	if r := n.final("a"); states(r) != "caller0 scored, caller1 failed/storage" || r.Decision != "inconclusive" || n.log.Errors() != 1 {
		t.Errorf("%s %+v", states(r), r)
	}
}
