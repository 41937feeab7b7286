package screen_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// spooled returns the number of entries in the spool of a node, and whether it has any file of theirs.
func (n *node) spooled() int {
	n.t.Helper()
	return n.spool.Stats().Entries
}

// erase erases a call that was decided.
func (n *node) erase(call string) {
	n.t.Helper()
	if err := n.idle().Erase(n.t.Context(), call, "jane", "asked"); err != nil {
		n.t.Fatal(err)
	}
}

// gone checks that nothing of a call is stored, also not in the spool and in the audio store.
func (n *node) gone(call string, keys ...string) {
	n.t.Helper()
	if _, err := n.store.Call(n.t.Context(), call); !errors.Is(err, store.ErrNotFound) {
		n.t.Errorf("call %s is stored: %v", call, err)
	}
	if list, err := n.store.Segments(n.t.Context(), call); err != nil || len(list) != 0 {
		n.t.Errorf("%d segments of call %s are stored: %v", len(list), call, err)
	}
	for _, key := range keys {
		if n.audio.has(n.t, key) {
			n.t.Errorf("audio %s of call %s is stored", key, call)
		}
	}
	if k := n.spooled(); k != 0 {
		n.t.Errorf("%d entries are in the spool", k)
	}
}

// A node that died while its spool held segments of a call does not bring the call back when it returns after the erasure.
func TestAnErasedCallDoesNotComeBackFromASpool(t *testing.T) {
	t.Parallel()
	alive := archive(t, "clear")
	c, err := alive.store.Call(t.Context(), "clear")
	if err != nil {
		t.Fatal(err)
	}
	dead := newNode(t, options{store: alive.store, name: "dead", clock: alive.clock})
	p := dead.part("clear", 0)
	p.Part = c.StartedAt.UnixMilli() + 1000
	dead.record(p, 2)
	if err := dead.courier.Take(p, silence("agent", 0)); err != nil {
		t.Fatal(err)
	}
	if dead.spooled() != 4 {
		t.Fatal(dead.spooled())
	}
	alive.clock.advance(time.Minute)
	alive.erase("clear")
	dead.drain()
	dead.gone("clear")
	if n := strings.Count(dead.log.String(), "level=INFO msg=\"call was erased"); n != 1 {
		t.Errorf("%d log lines\n%s", n, dead.log.String())
	}
	if puts := len(dead.audio.puts); puts != 0 {
		t.Errorf("%d files were put into the audio store", puts)
	}
	// A later call with the id is another one.
	p.Part = alive.clock.now().Add(time.Second).UnixMilli()
	dead.record(p, 1)
	dead.drain()
	if r := dead.report("clear"); len(r.Segments) != 1 {
		t.Errorf("%+v", r)
	}
}

// A node that died between the audio store and the database leaves no audio of an erased call there.
func TestAudioOfAnErasedCallThatWasDelivered(t *testing.T) {
	t.Parallel()
	alive := archive(t, "clear")
	dead := newNode(t, options{store: alive.store, name: "dead", clock: alive.clock})
	p := dead.part("clear", 0)
	p.Part = alive.clock.now().Add(-time.Second).UnixMilli()
	if err := dead.courier.Take(p, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	id := dead.spool.Entries()[0].ID
	key := id[9:11] + "/" + id + ".wav"
	if err := dead.audio.Put(t.Context(), key, dead.spool.AudioPath(id)); err != nil {
		t.Fatal(err)
	}
	alive.erase("clear")
	dead.audio.fail(errors.New("connection refused"))
	stop := dead.carry()
	dead.await("the delivery fails", func() bool { _, since := dead.courier.Waiting(); return !since.IsZero() })
	if dead.spooled() != 1 {
		t.Error("the entry was deleted before its audio")
	}
	dead.audio.fail(nil)
	dead.await("the spool is empty", func() bool { n, _ := dead.courier.Waiting(); return n == 0 })
	stop()
	dead.gone("clear", key)
}

// A part that is ended for its node, while its call is erased, does not stop the care for other parts.
func TestAPartOfAnErasedCallIsNotEnded(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	n.erase("clear")
	n.raw("INSERT INTO part (call_id, part, node, number) VALUES ('clear', 5, 'n1', 1)")
	p := n.part("other", 0)
	if err := n.desk.Progress(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	n.raw("DELETE FROM part WHERE call_id = 'clear'; INSERT INTO part (call_id, part, node, number) VALUES ('clear', 5, 'n1', 1)")
	if err := n.idle().LookAfter(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := n.report("other"); r.State != "ended" {
		t.Errorf("%+v", r)
	}
}

// lostNode checks the audio of a node whose file with its name was lost, and of one that does not come back.
func lostNode(t *testing.T, url string) {
	ctx := t.Context()
	local := func(n *node) *node {
		n.wire = func(c *screen.MaintenanceConfig) { c.LocalAudio = true }
		return n
	}
	named := func(name string) func(*screen.ForwarderConfig) {
		return func(c *screen.ForwarderConfig) { c.Node = name }
	}
	clocks := &clock{}
	open := func(o options) *node {
		o.store, o.clock, o.courier, o.keepAudio = openShared(t, url), clocks, named(o.name), keeping
		return local(newNode(t, o))
	}
	old, far := open(options{name: "old"}), open(options{name: "far"})
	for n, calls := range map[*node][]string{old: {"kept", "open"}, far: {"there"}} {
		for _, call := range calls {
			n.record(n.part(call, 0), 1)
		}
		n.drain()
		if err := n.store.Heartbeat(ctx, n.name, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, call := range []string{"kept", "there"} {
		g, err := old.store.Segment(ctx, old.scoring(call).ID)
		if err != nil {
			t.Fatal(err)
		}
		r := settlement(0.1)
		r.At = old.clock.now()
		if err := old.desk.Settle(ctx, g, r, nil); err != nil {
			t.Fatal(err)
		}
	}
	key := old.key("there")
	renamed := open(options{name: "new", dir: old.dir, audio: old.audio})
	e := renamed.idle()
	if err := e.Erase(ctx, "kept", "jane", "asked"); !errors.Is(err, store.ErrConflict) {
		t.Error("the old name seems to be alive, but:", err)
	}
	if err := e.Sweep(ctx); err != nil { // the old name is not silent yet
		t.Fatal(err)
	}
	silence := func(by time.Duration) {
		t.Helper()
		renamed.sql(url, "UPDATE node SET seen_ms = seen_ms - $1", by.Milliseconds())
	}
	silence(time.Minute)
	renamed.clock.advance(time.Minute)
	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if g, err := renamed.store.Segment(ctx, renamed.scoring("kept").ID); err != nil || g.AudioNode != "" && g.AudioNode != "new" {
		t.Errorf("%+v %v", g, err)
	}
	if renamed.audio.has(t, renamed.key("kept")) { // the retention of clear audio is over
		t.Error("the expired audio of the old name was not deleted")
	}
	if err := e.Erase(ctx, "kept", "jane", "asked"); err != nil {
		t.Error(err)
	}
	// The other node is only gone for a while.
	if err := e.Erase(ctx, "there", "jane", "asked"); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "node far") {
		t.Error(err)
	}
	silence(8 * day)
	if err := e.Erase(ctx, "there", "jane", "asked"); err != nil {
		t.Fatal(err)
	}
	lines, err := old.store.AuditOf(ctx, "there")
	if err != nil || !strings.Contains(string(mustJSON(t, lines[len(lines)-1])), `"unreached":["far"]`) {
		t.Errorf("%s %v", mustJSON(t, lines), err)
	}
	if err := e.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if stuck := e.Stuck(); stuck[store.StuckErasedAudio] != 1 {
		t.Error(stuck)
	}
	if !far.audio.has(t, key) {
		t.Fatal("the audio of the node that is gone is gone too")
	}
	if err := far.idle().Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if far.audio.has(t, key) {
		t.Error("the node that is back kept audio of an erased call")
	}
	if err := e.Sweep(ctx); err != nil || e.Stuck()[store.StuckErasedAudio] != 0 {
		t.Error(e.Stuck(), err)
	}
	// The segment of the old name that was not analysed is analysed under the new one.
	renamed.work(func(c *screen.WorkerConfig) { c.MaxAge = 1000 * day })
	if r := renamed.final("open"); states(r) != "caller0 scored" {
		t.Errorf("%s", states(r))
	}
}

// With SQLite every name is that of the one node, so a lost file with its name changes nothing.
func TestALostNameOfTheOnlyNode(t *testing.T) {
	t.Parallel()
	clocks, dir := &clock{}, t.TempDir()
	named := func(name string) func(*screen.ForwarderConfig) {
		return func(c *screen.ForwarderConfig) { c.Node = name }
	}
	old := newNode(t, options{
		dir:       dir,
		name:      "old",
		courier:   named("old"),
		clock:     clocks,
		keepAudio: keeping,
	})
	old.record(old.part("open", 0), 1)
	old.drain()
	n := newNode(t, options{
		dir:       t.TempDir(),
		store:     old.store,
		audio:     old.audio,
		name:      "new",
		courier:   named("new"),
		clock:     clocks,
		keepAudio: keeping,
	})
	n.wire = func(c *screen.MaintenanceConfig) { c.LocalAudio = true }
	key := n.key("open")
	n.work(func(c *screen.WorkerConfig) { c.MaxAge = 1000 * day })
	if r := n.final("open"); states(r) != "caller0 scored" {
		t.Fatalf("%s", states(r))
	}
	clocks.advance(time.Minute)
	n.sweep()
	if n.audio.has(t, key) {
		t.Error("the expired audio of the old name was not deleted")
	}
	n.erase("open")
	n.gone("open", key)
}

// erasedElsewhere: a call is erased at one node while the spool of another one has damaged entries of it.
func erasedElsewhere(t *testing.T, url string) {
	a, _ := member(t, url, "a", options{})
	b, _ := member(t, url, "b", options{})
	for _, n := range []*node{a, b} {
		if err := n.store.Heartbeat(t.Context(), n.name, 1); err != nil {
			t.Fatal(err)
		}
	}
	p := b.part("erased", 0)
	other := b.part("other", 0)
	for _, of := range []store.Part{p, other} {
		if err := b.courier.Take(of, silence("caller", 0)); err != nil {
			t.Fatal(err)
		}
		b.end(of)
	}
	b.drain()
	damage := func(of store.Part, leg string, seq int, text string) {
		t.Helper()
		before := map[string]bool{}
		for _, e := range b.spool.Entries() {
			before[e.ID] = true
		}
		if err := b.courier.Take(of, piece(leg, seq)); err != nil {
			t.Fatal(err)
		}
		for _, e := range b.spool.Entries() {
			if before[e.ID] {
				continue
			}
			if err := os.WriteFile(filepath.Join(b.dir, "spool", e.ID+".json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	damage(p, "caller", 1, "zeros")
	damage(p, "never stored", 0, `{"segment":{"call":"erased", cut off`)
	damage(other, "caller", 1, "zeros")
	left := func() int {
		names, err := b.spool.Leftovers(screen.Understood)
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	before := left()
	a.erase("erased")
	wire := b.wire
	b.wire = func(c *screen.MaintenanceConfig) { wire(c); c.Leftovers = b.courier }
	for range 2 {
		if err := b.idle().Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if before != 6 || left() != 2 {
		t.Errorf("%d files, %d are left", before, left())
	}
	if legs, err := b.store.ErasedLegs(t.Context(), "b", 10); err != nil || len(legs) != 0 {
		t.Errorf("%v %v", legs, err)
	}
}
