package screen_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/internal/hook/event"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// sql executes a statement on the shared database, past the store.
func (n *node) sql(url, query string, args ...any) {
	n.t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		n.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(n.t.Context(), query, args...); err != nil {
		n.t.Fatal(err)
	}
}

// Messages to an endpoint that was removed from the configuration are given up after a day, visibly, and their calls expire.
func TestRemovedEndpointsDoNotKeepRecords(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{keepAudio: keeping, desk: func(c *screen.DeciderConfig) {
		c.Subscribers = func(name string) []string {
			if name == event.CallCleared {
				return []string{"removed"}
			}
			return nil
		}
	}})
	n.keep = day
	n.wire = func(c *screen.MaintenanceConfig) { c.Endpoints = func() []string { return []string{"crm"} } }
	p := n.part("c", 0)
	p.Part = n.clock.now().UnixMilli()
	n.record(p, 1)
	n.drain()
	stop := n.work(nil)
	n.final("c")
	stop()
	n.clock.advance(23 * time.Hour)
	n.sweep()
	if dead, err := n.store.DeadLetters(t.Context(), 10); err != nil || len(dead) != 0 {
		t.Fatal("given up too early:", dead, err)
	}
	n.clock.advance(2 * time.Hour)
	e := n.idle()
	if err := e.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if dead, err := n.store.DeadLetters(t.Context(), 10); err == nil && len(dead) == 1 {
		if d := dead[0]; d.Endpoint != "removed" || !strings.Contains(d.LastError, "not configured") {
			t.Errorf("%+v", d)
		}
	} else if _, err := n.store.Call(t.Context(), "c"); !errors.Is(err, store.ErrNotFound) { // or its call is erased already
		t.Error(dead, err)
	}
	if !strings.Contains(n.log.String(), "their endpoint is not configured") {
		t.Error(n.log.String())
	}
	n.sweep()
	if _, err := n.store.Call(t.Context(), "c"); !errors.Is(err, store.ErrNotFound) {
		t.Error("the call is kept:", err)
	}
}

// Any number of calls whose audio cannot be deleted does not keep the audio of others.
func TestUndeletableAudioKeepsNoOtherAudio(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	n.clock.advance(time.Minute)
	const stuck = 250
	for i := range stuck {
		id := fmt.Sprintf("stuck-%03d", i)
		n.raw("INSERT INTO call (id, started_ms, ended_ms, state, metadata, search, final, audio_until_ms) VALUES ('" + id +
			"', 1, 2, 'ended', '{}', '', 1, 3)")
		n.raw("INSERT INTO segment (id, call_id, part, node, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, recorded_ms, state, " +
			"audio_key, rate) VALUES ('" + id + "', '" + id + "', 1, 'n1', 'caller', 0, 0, 1, 1, 0, 1, 'scored', 'stuck/" + id + "', 16000)")
	}
	refused := errors.New("403 Forbidden")
	n.audio.refuse("stuck/", refused)
	e := n.idle()
	for range 3 {
		err := e.Sweep(t.Context())
		if !errors.Is(err, refused) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
	if got := n.kept("clear"); got != "" {
		t.Errorf("kept: %q", got)
	}
	if got := e.Stuck()[store.StuckAudio]; got != stuck {
		t.Errorf("%d calls are stuck, want %d", got, stuck)
	}
	if n.audio.refused() > stuck+2*100 {
		t.Errorf("%d attempts: each sweep tried all of them again", n.audio.refused())
	}
	n.audio.refuse("stuck/", nil)
	for range 3 {
		if err := e.Sweep(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := e.Stuck()[store.StuckAudio]; got != 0 {
		t.Errorf("%d calls are stuck", got)
	}
}

// A deletion that hangs is given up, and comes last in the next sweep.
func TestADeletionThatHangsKeepsNoOtherAudio(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := archive(t, "clear", "inconclusive")
		n.reviewed("inconclusive")
		n.clock.advance(4 * day)
		hangs := n.key("clear") // deleted before the others
		n.audio.refuse(hangs, errHangs)
		e := n.idle()
		for range 2 {
			start := time.Now()
			if err := e.Sweep(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("a sweep took %v", took)
			}
			if got := n.kept("clear", "inconclusive"); got != "clear" {
				t.Errorf("kept: %q", got)
			}
		}
		n.audio.refuse(hangs, nil)
		if err := e.Sweep(t.Context()); err != nil || n.kept("clear") != "" {
			t.Error(err, n.kept("clear"))
		}
	})
}

// A call that cannot be erased keeps no other call from being erased by age.
func TestACallThatCannotBeErasedKeepsNoOther(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	n.keep = day
	n.clock.advance(time.Minute)
	n.sweep()
	for i := range 501 { // recorded by this process: each is refused
		id := fmt.Sprintf("busy-%03d", i)
		n.raw("INSERT INTO call (id, started_ms, ended_ms, state, metadata, search, final) VALUES ('" + id + "', 1, 2, 'ended', '{}', '', 1)")
		n.recording.Store(store.PartKey{Call: id, Part: 1, Node: "n1"}, true)
	}
	n.clock.advance(2 * day)
	n.sweep()
	if _, err := n.store.Call(t.Context(), "clear"); !errors.Is(err, store.ErrNotFound) {
		t.Error("the call was not erased:", err)
	}
}

// Data that could not be deleted is counted by kind.
func TestStuckDataIsCounted(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	n.wire = func(c *screen.MaintenanceConfig) { c.Leftovers = n.courier }
	for _, name := range []string{"notes.txt", "Read Me.json"} {
		if err := os.WriteFile(filepath.Join(n.dir, "spool", name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e := n.idle()
	if len(e.Stuck()) != len(screen.StuckKinds) { // the metric exists before the first sweep
		t.Error(e.Stuck())
	}
	if err := e.Sweep(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range screen.StuckKinds {
		want := 0
		if kind == "spool" {
			want = 2
		}
		if got, ok := e.Stuck()[kind]; !ok || got != want {
			t.Errorf("%s: %d, want %d", kind, got, want)
		}
	}
}

// Files of an erased call that the spool had set aside, because they made no sense, are erased with it. Those of other calls
// stay.
func TestSetAsideFilesOfAnErasedCallAreDeleted(t *testing.T) {
	t.Parallel()
	const call, other = "flagged", "clear"
	n := archive(t, call, other)
	dir := filepath.Join(n.dir, "spool")
	spoiled := func(of string) (names []string) {
		p := n.part(of, 0)
		parts, err := n.store.PartsOf(t.Context(), of)
		if err != nil {
			t.Fatal(err)
		}
		p.PartKey = parts[0].PartKey
		before := map[string]bool{}
		for _, e := range n.spool.Entries() {
			before[e.ID] = true
		}
		for i := range 2 {
			if err := n.courier.Take(p, piece("caller", 7+i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := n.courier.Progress(p); err != nil {
			t.Fatal(err)
		}
		for _, e := range n.spool.Entries() {
			if !before[e.ID] {
				names = append(names, e.ID)
			}
		}
		return names
	}
	var files []string
	for _, of := range []string{other, call} {
		for i, id := range spoiled(of) {
			text := []byte(`{"part": {"call":"` + of + `", cut off`)
			if i == 1 {
				text = []byte("zeros")
			}
			if err := os.WriteFile(filepath.Join(dir, id+".json"), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "orphans"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, e := range n.spool.Entries() {
		if e.Audio {
			if err := os.Link(n.spool.AudioPath(e.ID), filepath.Join(dir, "orphans", e.ID+".wav")); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.drain()
	list := func() (names []string) {
		left, err := n.spool.Leftovers(screen.Understood)
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	files = list()
	n.wire = func(c *screen.MaintenanceConfig) { c.Leftovers = n.courier }
	n.erase(call)
	if left := list(); len(files) != 14 || len(left) != 7 {
		t.Errorf("%d files are left of %d, want 7 of 14: %v", len(left), len(files), left)
	}
	if n.erase(other); len(list()) != 0 {
		t.Errorf("left: %v", list())
	}
}
