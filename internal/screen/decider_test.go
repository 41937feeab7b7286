package screen_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/hook/event"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// noon is the time of the decider in its tests.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// partAt returns a part of a call that began the given number of seconds before noon.
func partAt(call, node string, before int64) store.Part {
	return store.Part{
		PartKey:  store.PartKey{Call: call, Part: noon.UnixMilli() - 1000*before, Node: node},
		Metadata: map[string]string{"queue": "payments"},
	}
}

// stored returns a segment with 5 s of speech, as the forwarder passes it to the decider.
func stored(p store.Part, leg string, seq int) store.SegmentRow {
	return store.SegmentRow{
		ID:          fmt.Sprintf("%s-%s-%d-%s-%d", p.Call, p.Node, p.Part, leg, seq),
		PartKey:     p.PartKey,
		Leg:         leg,
		Seq:         seq,
		Offset:      time.Duration(seq) * 6 * time.Second,
		Duration:    6 * time.Second,
		Speech:      5 * time.Second,
		RecordedAt:  noon,
		Rate:        16000,
		State:       store.SegmentRecorded,
		AudioKey:    "ab/" + leg + ".wav",
		AudioSHA256: "ab",
		AudioBytes:  1,
	}
}

func ended(p store.Part) store.Part {
	p.EndedAt = noon
	return p
}

// clerk is a decider with a fixed time.
type clerk struct {
	t    *testing.T
	s    *store.Store
	desk *screen.Decider
}

func newClerk(t *testing.T, s *store.Store, p policy.Policy) *clerk {
	t.Helper()
	return &clerk{t: t, s: s, desk: screen.NewDecider(screen.DeciderConfig{
		Store:         s,
		Policy:        p,
		PolicyVersion: 1,
		Now:           func() time.Time { return noon },
		Subscribers:   func(string) []string { return []string{"crm"} },
		KeepAudio:     map[string]time.Duration{"clear": 0, "flagged": 30 * 24 * time.Hour, "inconclusive": 3 * 24 * time.Hour},
	})}
}

func (c *clerk) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *clerk) progress(p store.Part) {
	c.t.Helper()
	c.must(c.desk.Progress(context.Background(), p))
}

func (c *clerk) recorded(p store.Part, g store.SegmentRow) {
	c.t.Helper()
	c.must(c.desk.Recorded(context.Background(), p, g))
}

func settlement(score float64) store.Settlement {
	return store.Settlement{State: store.SegmentScored, Score: &score, Verdict: "deepfake_likely", At: noon}
}

func (c *clerk) settle(g store.SegmentRow, r store.Settlement) {
	c.t.Helper()
	c.must(c.desk.Settle(context.Background(), g, r, nil))
}

func (c *clerk) call(id string) store.Call {
	c.t.Helper()
	call, err := c.s.Call(context.Background(), id)
	c.must(err)
	return call
}

func (c *clerk) report(id string) report.CallReport {
	c.t.Helper()
	r, err := c.desk.Report(context.Background(), id)
	c.must(err)
	return r
}

// messages claims all pending webhook deliveries and marks them as delivered.
func (c *clerk) messages() (list []store.Delivery) {
	c.t.Helper()
	for {
		d, _, err := c.s.ClaimDelivery(context.Background(), "crm", noon, time.Minute)
		if errors.Is(err, store.ErrNotFound) {
			return list
		}
		c.must(err)
		d.State, d.SettledAt = store.DeliveryDelivered, noon
		c.must(c.s.SaveDelivery(context.Background(), d))
		list = append(list, d)
	}
}

func events(list []store.Delivery) string {
	var names []string
	for _, d := range list {
		names = append(names, d.Event)
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// A segment that is settled after the end of a call may change the decision. A change is announced once. Nothing is announced
// if the decision stays the same.
func TestASegmentAfterTheEnd(t *testing.T) {
	t.Parallel()
	c := newClerk(t, storetest.SQLite(t, t.TempDir()), policy.Default())
	p := partAt("a", "n1", 60)
	first, same, other := stored(p, "caller", 0), stored(p, "caller", 1), stored(p, "caller", 2)
	c.recorded(p, first)
	c.progress(ended(p))
	if r := c.report("a"); r.Decision != "inconclusive" || r.Final || !slices.Contains(r.Reasons, "analysis_pending") || c.messages() != nil {
		t.Errorf("%+v", r)
	}
	c.settle(first, settlement(0.1))
	if got := events(c.messages()); got != "call.cleared segment.scored" {
		t.Error(got)
	}
	// A segment that arrives late, as from a spool whose node was down.
	c.recorded(p, same)
	if r := c.report("a"); r.Final || r.Decision != "inconclusive" {
		t.Errorf("with a pending segment: %+v", r)
	}
	c.settle(same, settlement(0.2))
	if got := events(c.messages()); got != "segment.scored" {
		t.Error(got)
	}
	c.recorded(p, other)
	for range 2 { // a repetition changes nothing
		c.recorded(p, other)
		c.progress(ended(p))
	}
	c.settle(other, settlement(0.9))
	told := c.messages()
	if got := events(told); got != "call.flagged segment.scored" {
		t.Error(got)
	}
	for range 2 {
		if err := c.desk.Settle(t.Context(), other, settlement(0.1), nil); !errors.Is(err, store.ErrSettled) {
			t.Error(err)
		}
		c.progress(ended(p))
	}
	if call := c.call("a"); call.Published != "flagged" || call.Decisions != 2 || !call.Final || !call.Review || *call.Score != 0.9 ||
		c.messages() != nil {
		t.Errorf("%+v", call)
	}
	lines, err := c.s.AuditOf(t.Context(), "a")
	c.must(err)
	var what []string
	for _, l := range lines {
		what = append(what, l.What)
	}
	if got := strings.Join(what, " "); got != "segment.scored call.decided segment.scored segment.scored call.decided" {
		t.Error(got)
	}
	var body struct {
		Type string
		Data report.CallReport
	}
	for _, d := range told {
		if d.Event == event.CallFlagged {
			c.must(json.Unmarshal([]byte(d.Body), &body))
		}
	}
	if body.Type != "call.flagged" || body.Data.Call != "a" || body.Data.Decision != "flagged" || !body.Data.Final ||
		body.Data.State != "ended" ||
		*body.Data.Score != 0.9 {
		t.Errorf("%+v", body)
	}
}

// A machine only sets flags. Neither later segments nor a changed policy remove a flag, and its score and reasons stay.
func TestAFlagIsNeverLowered(t *testing.T) {
	t.Parallel()
	s := storetest.SQLite(t, t.TempDir())
	c := newClerk(t, s, policy.Default())
	p := partAt("a", "n1", 60)
	g := stored(p, "caller", 0)
	c.recorded(p, g)
	c.settle(g, settlement(0.8))
	if call := c.call("a"); call.Decision != "flagged" || !call.Final || call.State != "live" || call.AudioUntil != nil {
		t.Errorf("while it is live: %+v", call)
	}
	if got := events(c.messages()); got != "call.flagged segment.scored" {
		t.Error(got)
	}
	lenient := policy.Default()
	lenient.Threshold = 0.95
	c = newClerk(t, s, lenient)
	for seq := 1; seq < 4; seq++ {
		later := stored(p, "caller", seq)
		c.recorded(p, later)
		c.settle(later, settlement(0.05))
	}
	c.progress(ended(p))
	r := c.report("a")
	if r.Decision != "flagged" || !r.Review || *r.Score != 0.8 || r.Threshold != 0.6 ||
		strings.Join(r.Reasons, " ") != "score_over_threshold" ||
		!r.Final {
		t.Errorf("%+v", r)
	}
	if call := c.call("a"); call.Decisions != 1 || call.Published != "flagged" || !call.Review || *call.Score != 0.8 ||
		call.AudioUntil.Sub(noon) != 30*24*time.Hour {
		t.Errorf("%+v", call)
	}
	if got := events(c.messages()); got != "segment.scored segment.scored segment.scored" {
		t.Error(got)
	}
}

// A message has the same id however often it is created. Messages about different events have different ids.
func TestMessageIds(t *testing.T) {
	t.Parallel()
	var before []string
	for round := range 2 {
		c := newClerk(t, storetest.SQLite(t, t.TempDir()), policy.Default())
		for _, call := range []string{"a", "b"} {
			p := partAt(call, "n1", 60)
			for seq, r := range []store.Settlement{settlement(0.1), {State: store.SegmentFailed, Reason: "timeout", At: noon}, settlement(0.9)} {
				g := stored(p, "caller", seq)
				c.recorded(p, g)
				// The first attempt is rolled back and must leave nothing behind.
				if err := c.desk.Settle(t.Context(), g, r, func(*store.Tx) error { return errors.New("undone") }); err == nil {
					t.Error("settling succeeded despite an error in its transaction")
				}
				c.settle(g, r)
			}
			c.progress(ended(p))
		}
		told := c.messages()
		if got := events(
			told,
		); got != "analysis.error analysis.error call.flagged call.flagged segment.scored segment.scored segment.scored segment.scored" {
			t.Error(got)
		}
		var ids []string
		for _, d := range told {
			if !strings.HasPrefix(d.ID, "msg_") || slices.Contains(ids, d.ID) || d.Attempts != 1 {
				t.Errorf("%+v", d)
			}
			ids = append(ids, d.ID)
		}
		slices.Sort(ids)
		if round > 0 && !slices.Equal(ids, before) {
			t.Errorf("%v\n%v", before, ids)
		}
		before = ids
	}
}

// The message about a segment holds its result.
func TestMessagesOfSegments(t *testing.T) {
	t.Parallel()
	c := newClerk(t, storetest.SQLite(t, t.TempDir()), policy.Default())
	p := partAt("a", "n1", 60)
	for seq, r := range []store.Settlement{settlement(0.25), {State: store.SegmentFailed, Reason: "timeout", Detail: "too late", At: noon}} {
		g := stored(p, "caller", seq)
		g.JobID = "job"
		c.recorded(p, g)
		c.settle(g, r)
	}
	for _, d := range c.messages() {
		var body struct {
			Type      string
			Timestamp time.Time
			Data      struct {
				Call string
				report.SegmentReport
			}
		}
		c.must(json.Unmarshal([]byte(d.Body), &body))
		s := body.Data.SegmentReport
		if body.Type != d.Event || !body.Timestamp.Equal(noon) || body.Data.Call != "a" || s.Leg != "caller" || s.JobID != "job" {
			t.Errorf("%s", d.Body)
		}
		if d.Event == event.SegmentScored && (s.State != "scored" || *s.Score != 0.25) ||
			d.Event == event.AnalysisError && (s.State != "failed" || s.Reason != "timeout" || s.Detail != "too late") {
			t.Errorf("%s", d.Body)
		}
	}
}

// A call without any analysed segment is never clear, even if the policy clears unscreened calls.
func TestACallOfWhichNothingWasAnalysed(t *testing.T) {
	t.Parallel()
	lets := policy.Default()
	lets.OnUnscreened = policy.Clear
	for name, rules := range map[string]policy.Policy{"review": policy.Default(), "lets pass": lets} {
		t.Run(name, func(t *testing.T) {
			c := newClerk(t, storetest.SQLite(t, t.TempDir()), rules)
			p := partAt("a", "n1", 60)
			lost := stored(p, "caller", 0)
			lost.State, lost.Reason, lost.AudioKey = store.SegmentFailed, report.ReasonStorage, ""
			c.recorded(p, lost)
			c.progress(ended(p))
			c.progress(ended(partAt("silent", "n1", 60)))
			for _, call := range []string{"a", "silent"} {
				if r := c.report(call); r.Decision != "inconclusive" || !r.Final || r.Review != (rules.OnUnscreened == policy.Review) {
					t.Errorf("%s: %+v", call, r)
				}
			}
			if got := events(c.messages()); got != "analysis.error call.inconclusive call.inconclusive" {
				t.Error(got)
			}
		})
	}
}
