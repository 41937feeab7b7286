package screen_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

const day = 24 * time.Hour

// keeping is how long audio is kept in these tests.
var keeping = map[string]time.Duration{"clear": 0, "flagged": 30 * day, "inconclusive": 3 * day}

// archive is a node with calls that have ended, with the outcome that each is named after.
func archive(t *testing.T, outcomes ...string) *node {
	t.Helper()
	n := newNode(t, options{keepAudio: keeping})
	for i, outcome := range outcomes {
		p := n.part(outcome, 0)
		p.Part = n.clock.now().Add(-time.Minute).UnixMilli() + int64(i) // so that it ends now
		if err := n.courier.Take(p, piece("caller", i)); err != nil {
			t.Fatal(err)
		}
		if err := n.courier.Take(p, silence("caller", i+1)); err != nil {
			t.Fatal(err)
		}
		n.end(p)
	}
	n.drain()
	for _, outcome := range outcomes {
		id := n.scoring(outcome).ID
		g, err := n.store.Segment(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		r := map[string]store.Settlement{
			"clear":        settlement(0.1),
			"flagged":      settlement(0.9),
			"inconclusive": {State: store.SegmentFailed, Reason: "timeout"},
		}[outcome]
		r.At = n.clock.now()
		if err := n.desk.Settle(t.Context(), g, r, nil); err != nil {
			t.Fatal(err)
		}
		if c := n.report(outcome); c.Decision != outcome || !c.Final {
			t.Fatalf("%+v", c)
		}
	}
	return n
}

// scoring is the segment of a call that has audio, or had.
func (n *node) scoring(call string) report.SegmentReport {
	n.t.Helper()
	for _, s := range n.report(call).Segments {
		if s.State != "skipped" {
			return s
		}
	}
	n.t.Fatalf("call %s has no segment", call)
	return report.SegmentReport{}
}

func (n *node) key(call string) string {
	id := n.scoring(call).ID
	return id[9:11] + "/" + id + ".wav"
}

func (n *node) sweep() {
	n.t.Helper()
	if err := n.idle().Sweep(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
}

// reviewed closes the review of a call, as a person does.
func (n *node) reviewed(call string) {
	n.t.Helper()
	n.raw("UPDATE review SET state = 'closed' WHERE call_id = '" + call + "'")
}

// kept lists the calls whose audio is there.
func (n *node) kept(calls ...string) string {
	n.t.Helper()
	var list []string
	for _, call := range calls {
		there := n.audio.has(n.t, n.key(call))
		if s := n.scoring(call); s.Audio != there {
			n.t.Errorf("call %s: the audio is there: %v, the database says: %v", call, there, s.Audio)
		}
		if there {
			list = append(list, call)
		}
	}
	return strings.Join(list, " ")
}

// Audio is kept for as long as the outcome of its call says, not a moment less, and not much longer. What is left of it is
// its hash, and a line in the audit.
func TestAudioIsKeptAsLongAsItsOutcomeSays(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear", "flagged", "inconclusive")
	all := []string{"clear", "flagged", "inconclusive"}
	if got := n.kept(all...); got != "clear flagged inconclusive" {
		t.Fatal(got)
	}
	n.reviewed("flagged")
	n.reviewed("inconclusive")
	for _, c := range []struct {
		after time.Duration
		want  string
	}{
		{time.Minute, "flagged inconclusive"},
		{3*day - 2*time.Minute, "flagged inconclusive"},
		{2 * time.Minute, "flagged"},
		{27*day - 2*time.Minute, "flagged"},
		{2 * time.Minute, ""},
	} {
		n.clock.advance(c.after)
		n.sweep()
		if got := n.kept(all...); got != c.want {
			t.Errorf("kept: %q, want %q", got, c.want)
		}
	}
	for _, call := range all {
		g, err := n.store.Segment(t.Context(), n.scoring(call).ID)
		if err != nil || len(g.AudioSHA256) != 64 || g.AudioKey != "" || g.AudioDeletedAt.IsZero() || g.AudioBytes != 128044 {
			t.Errorf("%+v %v", g, err)
		}
		if lines := n.audited(call, store.AuditExpired); lines != 1 {
			t.Errorf("%d lines about %s", lines, call)
		}
		if r := n.report(call); r.Decision != call || !r.Final || len(r.Segments) != 2 {
			t.Errorf("%+v", r)
		}
		if c, err := n.store.Call(t.Context(), call); err != nil || c.AudioUntil != nil {
			t.Errorf("%+v %v", c, err)
		}
	}
	lines, err := n.store.AuditOf(t.Context(), "flagged")
	if err != nil || !strings.Contains(string(mustJSON(t, lines[len(lines)-1])), n.hash("flagged")) {
		t.Errorf("%+v %v", lines, err)
	}
	n.sweep() // again
	if n.audited("flagged", store.AuditExpired) != 1 {
		t.Error("deleted twice")
	}
}

func (n *node) hash(call string) string {
	g, err := n.store.Segment(n.t.Context(), n.scoring(call).ID)
	if err != nil {
		n.t.Fatal(err)
	}
	return g.AudioSHA256
}

// While somebody has still to look at a call its audio is kept, however long that takes.
func TestAudioIsKeptWhileACallWaitsForReview(t *testing.T) {
	t.Parallel()
	n := archive(t, "flagged", "inconclusive")
	n.clock.advance(1000 * day)
	n.sweep()
	if got := n.kept("flagged", "inconclusive"); got != "flagged inconclusive" {
		t.Errorf("kept: %q", got)
	}
	n.reviewed("flagged")
	n.sweep()
	if got := n.kept("flagged", "inconclusive"); got != "inconclusive" {
		t.Errorf("kept: %q", got)
	}
}

// Audio that is still to be analysed is never deleted, nor that of a call that goes on.
func TestAudioThatIsNeededIsKept(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	p := n.part("clear", 0) // is called again
	p.Part = n.clock.now().UnixMilli()
	if err := n.courier.Progress(p); err != nil {
		t.Fatal(err)
	}
	n.drain()
	n.clock.advance(1000 * day)
	n.sweep()
	if got := n.kept("clear"); got != "clear" {
		t.Error("the audio of a call that goes on was deleted")
	}
	if err := n.courier.Take(p, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	n.end(p)
	n.drain()
	if r := n.report("clear"); r.State != "ended" || r.Final {
		t.Errorf("%+v", r)
	}
	n.sweep()
	if got := n.kept("clear"); got != "clear" {
		t.Error("the audio of a call of which a segment waits was deleted")
	}
	n.work(func(w *screen.WorkerConfig) { w.MaxAge = 10000 * day })
	n.final("clear")
	n.clock.advance(time.Minute)
	n.sweep()
	for _, s := range n.report("clear").Segments {
		if s.Audio || s.State == "scored" && n.audio.has(t, s.ID[9:11]+"/"+s.ID+".wav") {
			t.Errorf("%+v is kept", s)
		}
	}
}

// What cannot be deleted keeps nothing else from being deleted, and is deleted later.
func TestAudioThatCannotBeDeleted(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear", "inconclusive")
	n.reviewed("inconclusive")
	n.clock.advance(4 * day)
	stuck := n.key("clear") // the one that comes first
	n.audio.stuck(stuck)
	err := n.idle().Sweep(t.Context())
	if err == nil || !strings.Contains(err.Error(), "1 calls") || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	if got := n.kept("clear", "inconclusive"); got != "clear" {
		t.Errorf("kept: %q", got)
	}
	n.audio.stuck("")
	n.sweep()
	if got := n.kept("clear", "inconclusive"); got != "" {
		t.Errorf("kept: %q", got)
	}
}

// A call that is erased leaves nothing but lines in the audit, none of which says what was in it.
func TestErasingACall(t *testing.T) {
	t.Parallel()
	n := archive(t, "flagged", "clear")
	e := n.idle()
	key := n.key("flagged")
	if err := e.Erase(t.Context(), "flagged", "jane", "the caller asked for it"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.store.Call(t.Context(), "flagged"); !errors.Is(err, store.ErrNotFound) || n.audio.has(t, key) {
		t.Errorf("%v, the audio is there: %v", err, n.audio.has(t, key))
	}
	left := map[string]int{}
	if err := n.store.Export(t.Context(), func(table string, row map[string]any) error {
		if row["call_id"] == "flagged" || row["id"] == "flagged" || strings.Contains(
			string(mustJSON(t, row)),
			`"flagged"`,
		) && row["call_id"] != "clear" {
			left[table]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left["audit"] == 0 {
		t.Errorf("left: %v", left)
	}
	lines, err := n.store.AuditOf(t.Context(), "flagged")
	if err != nil {
		t.Fatal(err)
	}
	last := lines[len(lines)-1]
	if last.What != store.AuditErased || last.Actor != "jane" || last.Detail["why"] != "the caller asked for it" ||
		strings.Contains(string(mustJSON(t, lines)), "payments") {
		t.Errorf("%+v", lines)
	}
	if _, _, err := n.store.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Erase(t.Context(), "flagged", "jane", "again"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if got := n.kept("clear"); got != "clear" {
		t.Error("another call lost its audio")
	}
	// The name may come again, and is another call then.
	n.record(n.part("flagged", 100), 1)
	n.drain()
	if r := n.report("flagged"); len(r.Segments) != 1 || r.Decision != "inconclusive" {
		t.Errorf("%+v", r)
	}
}

// A call that goes on, or is still to be analysed, or lies in the spool, is not erased, and nothing of it is deleted.
func TestACallInProgressIsNotErased(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	refused := func(why string) {
		t.Helper()
		if err := n.idle().Erase(t.Context(), "clear", "jane", "asked"); !errors.Is(err, store.ErrConflict) ||
			!strings.Contains(err.Error(), "(hint: ") {
			t.Errorf("%s: %v", why, err)
		}
		if got := n.kept("clear"); got != "clear" {
			t.Errorf("%s: its audio is gone", why)
		}
	}
	p := n.part("clear", 0)
	p.Part = n.clock.now().UnixMilli()
	if err := n.courier.Progress(p); err != nil {
		t.Fatal(err)
	}
	refused("in the spool")
	n.drain()
	refused("live")
	if err := n.courier.Take(p, piece("caller", 0)); err != nil {
		t.Fatal(err)
	}
	n.end(p)
	n.drain()
	refused("to be analysed")
	n.work(nil)
	n.final("clear")
	if err := n.idle().Erase(t.Context(), "clear", "jane", "asked"); err != nil {
		t.Error(err)
	}
}

// Erasing stops where the audio cannot be deleted: a call whose rows are gone has no audio.
func TestErasingStopsWhereTheAudioStoreIsAway(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	n.audio.fail(errors.New("connection refused"))
	if err := n.idle().Erase(t.Context(), "clear", "jane", "asked"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Error(err)
	}
	n.audio.fail(nil)
	if got := n.kept("clear"); got != "clear" || n.audited("clear", store.AuditErased) != 0 {
		t.Errorf("kept: %q", got)
	}
	if err := n.idle().Erase(t.Context(), "clear", "jane", "asked"); err != nil {
		t.Error(err)
	}
}

// What is known of a call is erased when retention.records is over, but not while somebody has to look at it, or its audio
// is kept; and by default never.
func TestRecordsAreErasedByAge(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear", "flagged", "inconclusive")
	there := func(want string) {
		t.Helper()
		var list []string
		for _, call := range []string{"clear", "flagged", "inconclusive"} {
			switch _, err := n.store.Call(t.Context(), call); {
			case err == nil:
				list = append(list, call)
			case !errors.Is(err, store.ErrNotFound):
				t.Fatal(err)
			case n.audited(call, store.AuditErased) != 1:
				t.Errorf("no line about the end of %s", call)
			}
		}
		if got := strings.Join(list, " "); got != want {
			t.Errorf("there: %q, want %q", got, want)
		}
	}
	n.clock.advance(1000 * day)
	n.sweep()
	there("clear flagged inconclusive")
	n.clock.advance(-999 * day)
	n.keep = 10 * day
	n.sweep()
	n.clock.advance(9*day - time.Minute)
	n.sweep()
	there("clear flagged inconclusive")
	n.clock.advance(2 * time.Minute)
	n.sweep()
	there("flagged inconclusive")
	n.reviewed("flagged") // its audio is kept for another 20 days
	n.reviewed("inconclusive")
	n.sweep()
	there("flagged")
	n.clock.advance(21 * day)
	n.sweep()
	there("")
	if _, _, err := n.store.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}
