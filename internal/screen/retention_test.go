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

// keeping is the retention of the audio in these tests, by outcome.
var keeping = map[string]time.Duration{"clear": 0, "flagged": 30 * day, "inconclusive": 3 * day}

// archive returns a node with ended calls. Each call is named after its outcome.
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

// scoring returns the segment of a call that has, or had, audio.
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

// reviewed closes the review of a call as a reviewer does.
func (n *node) reviewed(call string) {
	n.t.Helper()
	n.raw("UPDATE review SET state = 'closed' WHERE call_id = '" + call + "'")
}

// kept returns the names of the calls whose audio is stored.
func (n *node) kept(calls ...string) string {
	n.t.Helper()
	var list []string
	for _, call := range calls {
		there := n.audio.has(n.t, n.key(call))
		if s := n.scoring(call); s.Audio != there {
			n.t.Errorf("call %s: the audio is in the store: %v, in the database: %v", call, there, s.Audio)
		}
		if there {
			list = append(list, call)
		}
	}
	return strings.Join(list, " ")
}

// Audio is kept for the retention of the outcome of its call: not less, and not much longer. Its hash and an audit line stay.
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
		t.Error("the audio was deleted twice")
	}
}

func (n *node) hash(call string) string {
	g, err := n.store.Segment(n.t.Context(), n.scoring(call).ID)
	if err != nil {
		n.t.Fatal(err)
	}
	return g.AudioSHA256
}

// The audio of a call is kept while the call waits for review, without a time limit.
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

// The audio of a segment that waits for analysis is never deleted, nor the audio of a live call.
func TestAudioThatIsNeededIsKept(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear")
	p := n.part("clear", 0) // the call is resumed
	p.Part = n.clock.now().UnixMilli()
	if err := n.courier.Progress(p); err != nil {
		t.Fatal(err)
	}
	n.drain()
	n.clock.advance(1000 * day)
	n.sweep()
	if got := n.kept("clear"); got != "clear" {
		t.Error("the audio of a live call was deleted")
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
		t.Error("the audio of a call with a waiting segment was deleted")
	}
	n.work(func(w *screen.WorkerConfig) { w.MaxAge = 10000 * day })
	n.final("clear")
	n.clock.advance(time.Minute)
	n.sweep()
	for _, s := range n.report("clear").Segments {
		if s.Audio || s.State == "scored" && n.audio.has(t, s.ID[9:11]+"/"+s.ID+".wav") {
			t.Errorf("the audio of %+v was not deleted", s)
		}
	}
}

// Audio that cannot be deleted does not stop the deletion of other audio, and is deleted later.
func TestAudioThatCannotBeDeleted(t *testing.T) {
	t.Parallel()
	n := archive(t, "clear", "inconclusive")
	n.reviewed("inconclusive")
	n.clock.advance(4 * day)
	stuck := n.key("clear") // deleted before the others
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

// An erased call leaves only audit lines, and none of them holds content of the call.
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
	if len(left) != 2 || left["audit"] == 0 || left["erased"] != 1 {
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
	// A later call with the same id is another call.
	p := n.part("flagged", 0)
	p.Part = n.clock.now().Add(time.Second).UnixMilli()
	n.record(p, 1)
	n.drain()
	if r := n.report("flagged"); len(r.Segments) != 1 || r.Decision != "inconclusive" {
		t.Errorf("%+v", r)
	}
}

// A call that is live, waits for analysis or has entries in the spool is not erased, and none of its audio is deleted.
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
			t.Errorf("%s: its audio was deleted", why)
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

// Erasing a call stops if its audio cannot be deleted: a call without rows must have no audio.
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

// The records of a call are erased after retention.records, but not while the call waits for review or its audio is kept. By
// default they are never erased.
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
				t.Errorf("the erasure of call %s was not audited", call)
			}
		}
		if got := strings.Join(list, " "); got != want {
			t.Errorf("stored calls: %q, want %q", got, want)
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
