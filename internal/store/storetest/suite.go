package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/store"
)

// now is when the tests take place. No query looks at the clock of the machine.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Run holds a database to what the rest relies on. open returns an empty one.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"a part begins, goes on and ends":                     parts,
		"a part that broke off says so, unless it goes on":    brokenOff,
		"parts on two nodes are one call":                     twoNodes,
		"a segment is inserted once":                          segmentOnce,
		"a submission is noted before and after":              submission,
		"an upload in doubt is resent once":                   doubt,
		"a surplus job is audited":                            surplus,
		"a segment is settled once":                           settledOnce,
		"what a transaction did is undone as a whole":         rollback,
		"the audit is a chain":                                auditChain,
		"appending to the audit from many sides":              auditRace,
		"lists are filtered and paged":                        lists,
		"the rate is kept over all who ask":                   rate,
		"deliveries are claimed by one, and replayed":         deliveries,
		"an endpoint that is gone gets nothing":               disabled,
		"audio expires only when nobody needs it":             expiry,
		"erasing a call leaves the audit":                     erasing,
		"segments that lost their job get another":            rewake,
		"silent nodes are seen":                               silent,
		"everything is exported and imported":                 transfer,
		"the same policy has one version":                     policyVersions,
		"a review is opened, and opened again when news come": reviews,
		"the past is visited in order, as it was":             history,
		"the past has windows":                                windows,
		"whoever leaves the past leaves nothing running":      leaving,
		"of those who claim a call at once one wins":          claimRace,
		"what people do with a review is kept and audited":    reviewChanges,
		"a review opened again remembers what was said":       reopened,
		"what waits is listed and counted":                    waitingLists,
		"the audit is read on from any line":                  auditTail,
		"live calls show that they move":                      liveMarks,
		"sessions are kept, seen and ended":                   sessions,
	} {
		t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func key(call string) store.PartKey {
	return store.PartKey{Call: call, Part: now.UnixMilli(), Node: "n1"}
}

func segment(call string, seq int) store.Segment {
	return store.Segment{
		ID: fmt.Sprintf("%s-%d", call, seq), PartKey: key(call), Leg: "caller", Seq: seq, Offset: time.Duration(seq) * 10 * time.Second, Duration: 9 * time.Second,
		Speech: 8 * time.Second, RecordedAt: now, Rate: 16000, Voiced: [][2]int64{{10, 20}}, State: store.SegmentRecorded, AudioKey: "k", AudioSHA256: "ab", AudioBytes: 5,
	}
}

// record makes a call with segments.
func record(t *testing.T, s *store.Store, call string, segments int) {
	t.Helper()
	ctx := ctxOf(t)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Begin(ctx, store.Part{PartKey: key(call), Metadata: map[string]string{"queue": "Payments"}}); err != nil {
			return err
		}
		for i := range segments {
			if _, err := tx.AddSegment(ctx, segment(call, i)); err != nil {
				return err
			}
			if err := tx.Wake(ctx, segment(call, i).ID, ""); err != nil {
				return err
			}
		}
		return nil
	}))
}

// change locks a call, changes it and saves it.
func change(t *testing.T, s *store.Store, call string, do func(*store.Call)) {
	t.Helper()
	ctx := ctxOf(t)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		c, err := tx.LockCall(ctx, call)
		if err != nil {
			return err
		}
		do(&c)
		return tx.SaveCall(ctx, &c)
	}))
}

func end(t *testing.T, s *store.Store, p store.Part) store.Call {
	t.Helper()
	ctx := ctxOf(t)
	var c store.Call
	must(t, s.InTx(ctx, func(tx *store.Tx) (err error) {
		if c, err = tx.LockCall(ctx, p.Call); err != nil {
			return err
		}
		return tx.Progress(ctx, &c, p)
	}))
	return c
}

func parts(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	c, err := s.Call(ctx, "c")
	must(t, err)
	if c.State != store.CallLive || !c.StartedAt.Equal(now) || c.Metadata["queue"] != "Payments" || c.Final || c.Score != nil || c.AudioUntil != nil {
		t.Errorf("%+v", c)
	}
	p := store.Part{PartKey: key("c"), EndedAt: now.Add(time.Minute), How: "interrupted", Warnings: []string{"w"}, Legs: []store.Leg{{Leg: "caller", Duration: 61 * time.Second, Lost: time.Second}}}
	// It broke off a minute after its begin, as far as was noted, and a second more of it was recorded.
	if c = end(t, s, p); c.State != store.CallEnded || !c.EndedAt.Equal(now.Add(61*time.Second)) {
		t.Errorf("%+v", c)
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		list, err := tx.Parts(ctx, "c")
		if err != nil || len(list) != 1 || list[0].How != "interrupted" || list[0].Warnings[0] != "w" || len(list[0].Legs) != 1 || list[0].Legs[0].Duration != 61*time.Second || list[0].Legs[0].Lost != time.Second {
			t.Errorf("%+v %v", list, err)
		}
		return nil
	}))
	if _, err := s.Call(ctx, "other"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

func brokenOff(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	p := store.Part{PartKey: key("c"), EndedAt: now.Add(time.Minute), How: "node_lost", Legs: []store.Leg{{Leg: "caller", Duration: 61 * time.Second}, {Leg: "agent", Duration: 5 * time.Second}}}
	for range 2 { // the second time as after a crash before it was removed from the spool
		end(t, s, p)
		list, err := s.Segments(ctx, "c")
		must(t, err)
		var got []string
		for _, g := range list {
			got = append(got, fmt.Sprintf("%s %s %s %v %d", g.Leg, g.State, g.Reason, g.Offset, g.Seq))
		}
		if want := []string{"caller recorded  0s 0", "agent failed interrupted 5s -1", "caller failed interrupted 1m1s -1"}; !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
	}
	p.How, p.EndedAt = "", time.Time{}
	end(t, s, p)
	if list, err := s.Segments(ctx, "c"); err != nil || len(list) != 1 {
		t.Errorf("it goes on: %v %v", list, err)
	}
}

func twoNodes(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	other := store.Part{PartKey: store.PartKey{Call: "c", Part: now.Add(-time.Second).UnixMilli(), Node: "n2"}, Metadata: map[string]string{"queue": "x", "from": "y"}}
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, other); return err }))
	c := end(t, s, store.Part{PartKey: key("c"), EndedAt: now.Add(time.Second)})
	if c.State != store.CallLive || c.Metadata["queue"] != "Payments" || c.Metadata["from"] != "y" || !c.StartedAt.Equal(now.Add(-time.Second)) {
		t.Errorf("one part goes on: %+v", c)
	}
	// A leg that joins a part later may know more of the call, and changes nothing that is known.
	more := other
	more.Metadata = map[string]string{"from": "z", "agent": "007"}
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, more); return err }))
	if c, err := s.Call(ctx, "c"); err != nil || c.Metadata["from"] != "y" || c.Metadata["agent"] != "007" || c.State != store.CallLive {
		t.Errorf("%+v %v", c, err)
	}
	other.EndedAt = now.Add(3 * time.Second)
	if c = end(t, s, other); c.State != store.CallEnded || !c.EndedAt.Equal(other.EndedAt) {
		t.Errorf("both parts ended: %+v", c)
	}
	// The same part once more, as after a crash between the commit and the removal from the spool, changes nothing.
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, other); return err }))
	if c, err := s.Call(ctx, "c"); err != nil || c.State != store.CallEnded {
		t.Errorf("%+v %v", c, err)
	}
	if open, err := s.OpenParts(ctx, "n1"); err != nil || len(open) != 0 {
		t.Errorf("%v %v", open, err)
	}
	later := other
	later.Part, later.EndedAt = now.Add(time.Minute).UnixMilli(), time.Time{}
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, later); return err }))
	if c, err := s.Call(ctx, "c"); err != nil || c.State != store.CallLive || !c.EndedAt.IsZero() {
		t.Errorf("it was called again: %+v %v", c, err)
	}
	if open, err := s.OpenParts(ctx, "n2"); err != nil || len(open) != 1 || open[0] != later.PartKey {
		t.Errorf("%v %v", open, err)
	}
}

func segmentOnce(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	want := segment("c", 0)
	other := segment("c", 0)
	other.ID = "another id of the same place"
	for _, g := range []store.Segment{want, other} {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			if added, err := tx.AddSegment(ctx, g); added || err != nil {
				t.Errorf("%s: %v %v", g.ID, added, err)
			}
			return nil
		}))
	}
	g, err := s.Segment(ctx, want.ID)
	must(t, err)
	if g.Voiced[0] != want.Voiced[0] || g.Offset != want.Offset || g.Speech != want.Speech || !g.RecordedAt.Equal(now) || g.AudioKey != "k" || g.Settled() {
		t.Errorf("%+v", g)
	}
	skipped := segment("c", 1)
	skipped.State, skipped.Reason = store.SegmentSkipped, "too_little_speech"
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.AddSegment(ctx, skipped); return err }))
	if b, err := s.Backlog(ctx); err != nil || b.Recorded != 1 || b.Submitted != 0 || !b.Oldest.Equal(now) {
		t.Errorf("%+v %v", b, err)
	}
}

func submission(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	g, d, err := s.BeginSubmit(ctx, "c-0", "n1", now, true)
	if err != nil || d != store.NoDoubt || g.Attempts != 0 {
		t.Fatal(g, d, err)
	}
	if g, _ = s.Segment(ctx, "c-0"); g.Attempts != 1 || !g.SubmitStarted.Equal(now) || g.Worker != "n1" {
		t.Errorf("%+v", g)
	}
	must(t, s.NotSubmitted(ctx, "c-0", now.Add(time.Second)))
	if _, d, err = s.BeginSubmit(ctx, "c-0", "n1", now, true); err != nil || d != store.NoDoubt {
		t.Fatal(d, err)
	}
	if won, err := s.SaveJob(ctx, "c-0", "job", "n1", now); !won || err != nil {
		t.Fatal(won, err)
	}
	if g, _ = s.Segment(ctx, "c-0"); g.State != store.SegmentSubmitted || g.JobID != "job" || !g.SubmitStarted.IsZero() || !g.SubmittedAt.Equal(now) {
		t.Errorf("%+v", g)
	}
	if g, d, err = s.BeginSubmit(ctx, "c-0", "n2", now, true); err != nil || d != store.NoDoubt || g.JobID != "job" {
		t.Fatal(g, d, err)
	}
	for _, want := range []bool{true, false} { // cleaned once, not twice
		job := "job"
		if done, err := s.AgainCleaned(ctx, "c-0", job, now); done != want || err != nil {
			t.Error(done, err)
		}
	}
	if g, _ = s.Segment(ctx, "c-0"); g.State != store.SegmentRecorded || g.JobID != "" || !g.Cleaned {
		t.Errorf("%+v", g)
	}
}

func audited(t *testing.T, s *store.Store, call, what string) (n int) {
	t.Helper()
	lines, err := s.AuditOf(ctxOf(t), call)
	must(t, err)
	for _, l := range lines {
		if l.What == what {
			n++
		}
	}
	return n
}

func doubt(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	for i, want := range []store.Doubt{store.NoDoubt, store.Resend, store.GiveUp, store.GiveUp} {
		if _, d, err := s.BeginSubmit(ctx, "c-0", "n1", now, true); err != nil || d != want {
			t.Errorf("attempt %d: %v %v", i, d, err)
		}
	}
	if n := audited(t, s, "c", store.AuditResent); n != 1 {
		t.Errorf("%d lines about one resend", n)
	}
	for i, want := range []store.Doubt{store.NoDoubt, store.GiveUp} {
		if _, d, err := s.BeginSubmit(ctx, "c-1", "n1", now, false); err != nil || d != want {
			t.Errorf("never resend, attempt %d: %v %v", i, d, err)
		}
	}
}

func surplus(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	for _, c := range []struct {
		job   string
		won   bool
		lines int
	}{{"first", true, 0}, {"first", true, 0}, {"second", false, 1}} {
		if won, err := s.SaveJob(ctx, "c-0", c.job, "n", now); won != c.won || err != nil || audited(t, s, "c", store.AuditSurplus) != c.lines {
			t.Errorf("%s: %v %v", c.job, won, err)
		}
	}
	if g, _ := s.Segment(ctx, "c-0"); g.JobID != "first" {
		t.Errorf("%+v", g)
	}
}

func settle(ctx context.Context, s *store.Store, call, id string, score float64) error {
	return s.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.LockCall(ctx, call); err != nil {
			return err
		}
		if err := tx.Settle(ctx, id, store.Settlement{State: store.SegmentScored, Score: &score, Verdict: "v", Simulated: true, At: now}); err != nil {
			return err
		}
		return tx.Audit(ctx, store.Line{At: now, Actor: "machine", What: store.AuditScored, Call: call, Segment: id, Detail: store.Detail{"score": score}})
	})
}

func settledOnce(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	var wg sync.WaitGroup
	results := make([]error, 8)
	for i := range results {
		wg.Go(func() { results[i] = settle(ctx, s, "c", "c-0", float64(i)/10) })
	}
	wg.Wait()
	won := 0
	for _, err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, store.ErrSettled):
			t.Error(err)
		}
	}
	if won != 1 || audited(t, s, "c", store.AuditScored) != 1 {
		t.Errorf("settled %d times, %d audit lines", won, audited(t, s, "c", store.AuditScored))
	}
	if g, _ := s.Segment(ctx, "c-0"); g.State != store.SegmentScored || g.Score == nil || g.Verdict != "v" || !g.Simulated || !g.Settled() {
		t.Errorf("%+v", g)
	}
	if won, err := s.SaveJob(ctx, "c-0", "late", "n", now); won || err != nil {
		t.Error(won, err)
	}
}

func rollback(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	broken := errors.New("broken")
	err := s.InTx(ctx, func(tx *store.Tx) error {
		score := 0.5
		must(t, tx.Settle(ctx, "c-0", store.Settlement{State: store.SegmentScored, Score: &score, At: now}))
		must(t, tx.Audit(ctx, store.Line{At: now, What: store.AuditScored, Call: "c"}))
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", Call: "c", CreatedAt: now, Body: "{}"}, []string{"e"})
		must(t, err)
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if g, _ := s.Segment(ctx, "c-0"); g.Settled() || audited(t, s, "c", store.AuditScored) != 0 {
		t.Errorf("%+v", g)
	}
	if counts, err := s.DeliveryCounts(ctx); err != nil || len(counts) != 0 {
		t.Errorf("%v %v", counts, err)
	}
}

func auditChain(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i := range 5 {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			return tx.Audit(ctx, store.Line{At: now, Actor: "a", What: "x", Call: "c", Detail: store.Detail{"i": i, "text": "<ü>"}})
		}))
	}
	if n, hash, err := s.VerifyAudit(ctx); n != 5 || len(hash) != 64 || err != nil {
		t.Fatal(n, hash, err)
	}
}

func auditRace(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 10 {
				if err := s.InTx(ctx, func(tx *store.Tx) error {
					return tx.Audit(ctx, store.Line{At: now, Actor: fmt.Sprint(i), What: "x"})
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, _, err := s.VerifyAudit(ctx); n != 80 || err != nil {
		t.Error(n, err)
	}
}

func lists(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i := range 25 {
		id := fmt.Sprintf("call-%02d", i)
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Begin(ctx, store.Part{PartKey: store.PartKey{Call: id, Part: now.Add(time.Duration(i/2) * time.Second).UnixMilli(), Node: "n"}, Metadata: map[string]string{"from": fmt.Sprintf("Ä100%%_%d", i)}})
			return err
		}))
		if i%5 == 0 {
			change(t, s, id, func(c *store.Call) { c.Decision, c.State = "flagged", store.CallEnded })
		}
	}
	var got []string
	f := store.Filter{Limit: 10}
	for {
		list, next, err := s.Calls(ctx, f)
		must(t, err)
		for _, c := range list {
			got = append(got, c.ID)
		}
		if next == nil {
			break
		}
		f.Before = next
	}
	if len(got) != 25 || got[0] != "call-24" || !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%v", got)
	}
	for _, c := range []struct {
		f    store.Filter
		want int
	}{
		{store.Filter{Decision: "flagged"}, 5}, {store.Filter{State: "ended"}, 5}, {store.Filter{State: "live", Decision: "flagged"}, 0},
		{store.Filter{Query: "CALL-2"}, 5}, {store.Filter{Query: "100%_7"}, 1}, {store.Filter{Query: "100_"}, 0}, {store.Filter{Query: `\`}, 0}, {store.Filter{Review: "waiting"}, 0},
	} {
		if list, _, err := s.Calls(ctx, c.f); err != nil || len(list) != c.want {
			t.Errorf("%+v: %d calls, %v", c.f, len(list), err)
		}
	}
	if list, err := s.Segments(ctx); err != nil || list != nil {
		t.Error(list, err)
	}
}

func rate(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	var mu sync.Mutex
	var waits []time.Duration
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				wait, ok, err := s.Reserve(ctx, "submit", time.Hour, 24*time.Hour)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				if ok {
					waits = append(waits, wait)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(waits)
	if len(waits) != 25 { // one now, and 24 in the next 24 hours
		t.Fatalf("%d may go: %v", len(waits), waits)
	}
	for i, w := range waits {
		if d := time.Duration(i)*time.Hour - w; d.Abs() > time.Minute { // who asked first is not always answered first
			t.Errorf("number %d waits %v", i, w)
		}
	}
}

func deliveries(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 0)
	m := store.Message{ID: "m", Event: "call.flagged", Call: "c", CreatedAt: now, Body: `{"a":1}`}
	for i, want := range []bool{true, false} {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			if added, err := tx.AddMessage(ctx, m, []string{"a", "b"}); err != nil || added != want {
				t.Errorf("insert %d: %v %v", i, added, err)
			}
			return nil
		}))
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now.Add(-time.Second), time.Minute); !errors.Is(err, store.ErrNotFound) || !next.Equal(now) {
		t.Error(next, err)
	}
	d, _, err := s.ClaimDelivery(ctx, "a", now, time.Minute)
	if err != nil || d.Body != m.Body || d.Attempts != 1 {
		t.Fatal(d, err)
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now.Add(time.Second), time.Minute); !errors.Is(err, store.ErrNotFound) || !next.Equal(now.Add(time.Minute)) {
		t.Errorf("claimed twice: %v %v", next, err)
	}
	d.State, d.SettledAt, d.LastStatus, d.LastError = store.DeliveryDead, now, 500, "no"
	must(t, s.SaveDelivery(ctx, d))
	if dead, err := s.DeadLetters(ctx, 10); err != nil || len(dead) != 1 || dead[0].LastStatus != 500 || dead[0].Event != m.Event {
		t.Errorf("%+v %v", dead, err)
	}
	must(t, s.Replay(ctx, "m", "a", "me", now))
	if err := s.Replay(ctx, "m", "a", "me", now); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if d, _, err = s.ClaimDelivery(ctx, "a", now, time.Minute); err != nil || d.Attempts != 1 || audited(t, s, "c", store.AuditReplayed) != 1 {
		t.Error(d, err)
	}
	d.State = store.DeliveryDelivered
	must(t, s.SaveDelivery(ctx, d))
	if counts, err := s.DeliveryCounts(ctx); err != nil || counts[[2]string{"b", "pending"}] != 1 || len(counts) != 1 {
		t.Error(counts, err)
	}
}

func disabled(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", CreatedAt: now, Body: "{}"}, []string{"a", "b"})
		return err
	}))
	must(t, s.DisableEndpoint(ctx, "a", "HTTP 410", now))
	must(t, s.DisableEndpoint(ctx, "a", "HTTP 410", now))
	if since, why, err := s.Disabled(ctx, "a"); !since.Equal(now) || why != "HTTP 410" || err != nil {
		t.Error(since, why, err)
	}
	if _, next, err := s.ClaimDelivery(ctx, "a", now, time.Minute); !errors.Is(err, store.ErrNotFound) || !next.IsZero() {
		t.Error(next, err)
	}
	if _, _, err := s.ClaimDelivery(ctx, "b", now, time.Minute); err != nil {
		t.Error(err)
	}
	must(t, s.EnableEndpoint(ctx, "a", "me", now))
	if since, _, err := s.Disabled(ctx, "a"); !since.IsZero() || err != nil {
		t.Error(since, err)
	}
	if err := s.EnableEndpoint(ctx, "a", "me", now); !errors.Is(err, store.ErrNotFound) || audited(t, s, "", store.AuditEndpoint) != 2 {
		t.Error(err)
	}
}

func expiry(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for _, id := range []string{"done", "live", "undecided", "review", "later", "open"} {
		record(t, s, id, 1)
		if id != "open" {
			must(t, settle(ctx, s, id, id+"-0", 0.1))
		}
		until := now
		if id == "later" {
			until = now.Add(time.Second)
		}
		change(t, s, id, func(c *store.Call) { c.State, c.Final, c.AudioUntil = store.CallEnded, id != "undecided", &until })
	}
	change(t, s, "live", func(c *store.Call) { c.State = store.CallLive })
	must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.OpenReview(ctx, "review", now) }))
	if got, err := s.ExpiredAudio(ctx, "n1", now, 10); err != nil || len(got) != 1 || got[0] != "done" {
		t.Fatal(got, err)
	}
	list, err := s.Segments(ctx, "done")
	must(t, err)
	must(t, s.AudioDeleted(ctx, "done", list, now))
	g, _ := s.Segment(ctx, "done-0")
	if g.AudioKey != "" || g.AudioSHA256 != "ab" || !g.AudioDeletedAt.Equal(now) || audited(t, s, "done", store.AuditExpired) != 1 {
		t.Errorf("%+v", g)
	}
	if got, err := s.ExpiredAudio(ctx, "n1", now, 10); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func erasing(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	record(t, s, "other", 1)
	must(t, settle(ctx, s, "c", "c-0", 0.9))
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		must(t, tx.OpenReview(ctx, "c", now))
		must(t, tx.AddDecision(ctx, store.Decision{Call: "c", Seq: 1, At: now, Outcome: "flagged", Reasons: []string{"r"}}))
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", Call: "c", CreatedAt: now, Body: "{}"}, []string{"a"})
		return err
	}))
	if err := s.Erase(ctx, "c", "me", "asked", now); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a live call: %v", err)
	}
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	list, err := s.Segments(ctx, "c")
	must(t, err)
	change(t, s, "c", func(c *store.Call) { c.AudioUntil = &now })
	must(t, s.AudioDeleted(ctx, "c", list[:1], now))
	if c, err := s.Call(ctx, "c"); err != nil || c.AudioUntil == nil {
		t.Errorf("a call with audio that came in meanwhile: %+v %v", c, err)
	}
	if err := s.Erase(ctx, "c", "me", "asked", now); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a call with a segment that is analysed, and has audio: %v", err)
	}
	must(t, settle(ctx, s, "c", "c-1", 0.9))
	if err := s.Erase(ctx, "c", "me", "asked", now); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a call with audio: %v", err)
	}
	must(t, s.AudioDeleted(ctx, "c", list[1:], now))
	if c, err := s.Call(ctx, "c"); err != nil || c.AudioUntil != nil {
		t.Errorf("a call without audio: %+v %v", c, err)
	}
	must(t, s.Erase(ctx, "c", "me", "asked", now))
	if err := s.Erase(ctx, "c", "me", "asked", now); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if list, err := s.Segments(ctx, "c"); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
	rows := map[string]int{}
	must(t, s.Export(ctx, func(table string, row map[string]any) error {
		if row["call_id"] == "c" || row["id"] == "c" {
			rows[table]++
		}
		return nil
	}))
	if len(rows) != 1 || rows["audit"] != 5 {
		t.Errorf("%v", rows)
	}
	if n, _, err := s.VerifyAudit(ctx); n != 5 || err != nil {
		t.Error(n, err)
	}
}

func rewake(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	if n, err := s.Rewake(ctx); n != 0 || err != nil {
		t.Error(n, err)
	}
	sleeping := segment("c", 2)
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.AddSegment(ctx, sleeping); return err }))
	for _, want := range []int{1, 0} {
		if n, err := s.Rewake(ctx); n != want || err != nil {
			t.Error(n, err)
		}
	}
	if _, err := s.Release(ctx, "n"); err != nil {
		t.Error(err)
	}
}

func silent(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	must(t, s.Heartbeat(ctx, "a"))
	must(t, s.Heartbeat(ctx, "a"))
	if nodes, err := s.Silent(ctx, time.Minute); err != nil || len(nodes) != 0 {
		t.Error(nodes, err)
	}
	if nodes, err := s.Silent(ctx, -time.Minute); err != nil || len(nodes) != 1 || nodes[0] != "a" {
		t.Error(nodes, err)
	}
}

func transfer(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	must(t, settle(ctx, s, "c", "c-0", 1))
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		must(t, tx.AddDecision(ctx, store.Decision{Call: "c", Seq: 1, At: now, Outcome: "flagged", Threshold: 0.6, Reasons: []string{"r"}}))
		_, err := tx.AddMessage(ctx, store.Message{ID: "m", Event: "e", Call: "c", CreatedAt: now, Body: "{}"}, []string{"a"})
		return err
	}))
	dump := func(s *store.Store) (lines []string) {
		must(t, s.Export(ctx, func(table string, row map[string]any) error {
			delete(row, "alarm")
			data, err := json.Marshal(row)
			lines = append(lines, table+" "+string(data))
			return err
		}))
		return lines
	}
	before := dump(s)
	// SQLite is always at hand to import into; the way back is that of the other run of the suite.
	into, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Owner: true})
	must(t, err)
	defer func() { must(t, into.Close()) }()
	_, err = into.UsePolicy(ctx, []byte("its own"), now)
	must(t, err)
	fill := func(i *store.Importer) error {
		for _, l := range before {
			table, text, _ := strings.Cut(l, " ")
			row := map[string]any{}
			d := json.NewDecoder(strings.NewReader(text))
			d.UseNumber()
			if err := d.Decode(&row); err != nil {
				return err
			}
			if err := i.Add(ctx, table, row); err != nil {
				return err
			}
		}
		return nil
	}
	rows, err := into.Import(ctx, fill)
	if err != nil || rows["segment"] != 2 || rows["call"] != 1 {
		t.Fatal(rows, err)
	}
	if after := dump(into); !slices.Equal(before, after) {
		t.Errorf("before:\n%s\nafter:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	if n, _, err := into.VerifyAudit(ctx); n != 1 || err != nil {
		t.Error(n, err)
	}
	if n, err := into.Rewake(ctx); n != 1 || err != nil {
		t.Errorf("%d segments got a job: %v", n, err)
	}
	if _, err := into.Import(ctx, fill); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a second time: %v", err)
	}
	for table, row := range map[string]map[string]any{"river_job": {"id": 1}, "call": {"id; DROP TABLE call": 1}} {
		empty, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Owner: true})
		must(t, err)
		if _, err := empty.Import(ctx, func(i *store.Importer) error { return i.Add(ctx, table, row) }); err == nil || !strings.Contains(err.Error(), "there is no") {
			t.Errorf("%s: %v", table, err)
		}
		must(t, empty.Close())
	}
}

func policyVersions(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for _, c := range []struct {
		body string
		want int64
	}{{"a", 1}, {"b", 2}, {"a", 1}} {
		if v, err := s.UsePolicy(ctx, []byte(c.body), now); v != c.want || err != nil {
			t.Errorf("%s: %d %v", c.body, v, err)
		}
	}
	if audited(t, s, "", store.AuditPolicy) != 2 {
		t.Error("not audited")
	}
}

func reviews(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 0)
	for range 2 {
		must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.OpenReview(ctx, "c", now) }))
	}
	if list, _, err := s.Calls(ctx, store.Filter{Review: store.ReviewWaiting}); err != nil || len(list) != 1 {
		t.Error(list, err)
	}
}
