package screen_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/capture"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// mortal passes the progress of calls on until the process is killed.
type mortal struct {
	to   *screen.Forwarder
	dead atomic.Bool
}

func (m *mortal) Progress(p store.Part) error {
	if m.dead.Load() {
		return errors.New("killed")
	}
	return m.to.Progress(p)
}

func (m *mortal) Take(p store.Part, seg capture.LegSegment) error {
	if m.dead.Load() {
		return errors.New("killed")
	}
	return m.to.Take(p, seg)
}

// recorder returns the live calls of a node, which ends them when its process is killed or the test ends.
func recorder(t *testing.T, n *node) (*screen.Live, *mortal) {
	t.Helper()
	m := &mortal{to: n.courier}
	l := newLive(t, nil, func(c *screen.LiveConfig) { c.Book, c.Node = m, n.name })
	return l, m
}

// finish delivers and analyses all that a node has of a call.
func finish(t *testing.T, n *node, call string) (reasons string, decision string) {
	t.Helper()
	n.drain()
	n.work(nil)
	r := n.final(call)
	return strings.Join(r.Reasons, " "), r.Decision
}

// make crash, under load on PostgreSQL: "the recording of call call-1-7 broke off, and it is clear". A sender connected, and
// the sidecar was killed after it had answered the offer and before the first track had begun: the part was stored without a
// leg, so its end as interrupted had no leg to fail. The sender called again under the same id, was heard to the end, and
// the call was clear.
func TestAKillBeforeTheFirstTrackIsNotClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := newNode(t, options{dir: dir})
	live, process := recorder(t, before)
	join(t, live, "a")       // the sender has the answer, and may be heard
	process.dead.Store(true) // SIGKILL
	if err := before.store.Close(); err != nil {
		t.Fatal(err)
	}

	after := newNode(t, options{dir: dir})
	after.drain() // the interrupted part
	live, _ = recorder(t, after)
	s := join(t, live, "a")
	if err := s.Record(t.Context(), "caller", &track{packets: 60 * 50}); err != nil {
		t.Fatal(err)
	}
	s.Leave(screen.HungUp)
	live.Close()
	if reasons, decision := finish(t, after, "a"); decision != "inconclusive" || !strings.Contains(reasons, "interrupted") {
		t.Errorf("%s: %s", decision, reasons)
	}
}

// A session that joins a call in progress is stored before it is answered, too.
func TestAKillBeforeTheSecondLegIsNotClear(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	live, process := recorder(t, n)
	join(t, live, "a")
	if _, err := live.Join(screen.Announced{Call: "a", Legs: []string{"agent"}}); err != nil {
		t.Fatal(err)
	}
	process.dead.Store(true)
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	after := newNode(t, options{dir: n.dir})
	after.drain()
	r := after.report("a")
	if got := states(r); got != "agent-1 failed/interrupted, caller-1 failed/interrupted" {
		t.Error(got)
	}
}

// A part that is stored without a leg, as earlier versions did, fails when it breaks off: another part of the call that is
// complete does not make the call clear.
func TestAnInterruptedPartWithoutLegsIsNotClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	before := newNode(t, options{dir: dir})
	if err := before.courier.Progress(before.part("a", 0)); err != nil {
		t.Fatal(err)
	}
	if err := before.store.Close(); err != nil {
		t.Fatal(err)
	}
	after := newNode(t, options{dir: dir})
	after.record(after.part("a", 100), 3)
	if reasons, decision := finish(t, after, "a"); decision != "inconclusive" || !strings.Contains(reasons, "interrupted") {
		t.Errorf("%s: %s", decision, reasons)
	}
}

// Progress of a call that is saved late does not undo its end.
func TestNothingIsSavedAfterTheEnd(t *testing.T) {
	t.Parallel()
	b := newBook()
	l := newLive(t, b, nil)
	for range 20 {
		s := join(t, l, "a")
		done := make(chan struct{})
		go func() { defer close(done); l.EndAll() }()
		s.Leave(screen.HungUp)
		<-done
		b.end(t)
	}
	l.Close()
	ended := map[store.PartKey]time.Time{}
	for _, e := range b.read() {
		if at := ended[e.part.PartKey]; !at.IsZero() {
			t.Errorf("progress of %v after its end", e.part.PartKey)
		}
		ended[e.part.PartKey] = e.part.EndedAt
	}
	if len(ended) != 20 {
		t.Errorf("%d parts", len(ended))
	}
}
