package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
)

// now is the time of the tests. No query uses the system clock.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Run checks the guarantees of a database that the other packages rely on. open returns an empty database.
func Run(t *testing.T, open func(t *testing.T) *store.Store, past Past) {
	for name, test := range map[string]func(*testing.T, *store.Store){
		"a part begins, goes on and ends":                    parts,
		"an interrupted part is marked, unless it goes on":   brokenOff,
		"a cut segment without a row is a failure":           missing,
		"parts on two nodes are one call":                    twoNodes,
		"a segment is inserted once":                         segmentOnce,
		"a submission is recorded before and after":          submission,
		"an upload in doubt is resent once":                  doubt,
		"a surplus job is audited":                           surplus,
		"a job of two recordings is that of none":            sharedJob,
		"a segment in doubt is held":                         held,
		"the time of answers about a job is kept":            polled,
		"paid jobs and live calls come first":                queueOrder,
		"a segment is settled once":                          settledOnce,
		"a failed transaction is rolled back completely":     rollback,
		"the audit is a chain":                               auditChain,
		"appending to the audit from many sides":             auditRace,
		"lists are filtered and paged":                       lists,
		"the rate holds over all nodes":                      rate,
		"deliveries are claimed by one, and replayed":        deliveries,
		"a restart releases the deliveries of before":        releasedDeliveries,
		"a disabled endpoint gets nothing":                   disabled,
		"audio expires only when it is not needed":           expiry,
		"calls expire when nothing is left to do":            expiredCalls,
		"erasing a call leaves the audit":                    erasing,
		"an erased call does not come back":                  tombstone,
		"an erased call does not come back while it arrives": erasureRace,
		"tombstones are exported and imported":               moved,
		"a call with audio on a gone node is erased":         unreached,
		"the jobs of an erased call are erased":              erasedJobs,
		"expired audio is listed in pages":                   expiryPages,
		"deliveries to removed endpoints are given up":       removedEndpoints,
		"the audio of lost nodes is found and adopted":       lostAudio,
		"data that should be gone is listed":                 stuckData,
		"segments that lost their job get another":           rewake,
		"heartbeats are seen":                                heartbeats,
		"the policies of live nodes are known":               livePolicies,
		"everything is exported and imported":                transfer,
		"the same policy has one version":                    policyVersions,
		"a review is opened, and again after a new decision": reviews,
		"the past is visited in order, as it was":            past.history,
		"the legs of the past are as they were":              pastLegs,
		"the past has windows":                               windows,
		"leaving history early leaves nothing running":       past.leaving,
		"one of several concurrent claims wins":              claimRace,
		"changes of a review are stored and audited":         reviewChanges,
		"a reopened review keeps its dispositions":           reopened,
		"what waits is listed and counted":                   waitingLists,
		"the audit is read on from any line":                 auditTail,
		"live calls show that they move":                     liveMarks,
		"sessions are kept, seen and ended":                  sessions,
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

func segment(call string, seq int) store.SegmentRow {
	return store.SegmentRow{
		ID:          fmt.Sprintf("%s-%d", call, seq),
		PartKey:     key(call),
		Leg:         "caller",
		Seq:         seq,
		Offset:      time.Duration(seq) * 10 * time.Second,
		Duration:    9 * time.Second,
		Speech:      8 * time.Second,
		RecordedAt:  now,
		Rate:        16000,
		Voiced:      [][2]int64{{10, 20}},
		State:       store.SegmentRecorded,
		AudioKey:    "k",
		AudioSHA256: "ab",
		AudioBytes:  5,
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

func lists(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i := range 25 {
		id := fmt.Sprintf("call-%02d", i)
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			_, err := tx.Begin(
				ctx,
				store.Part{
					PartKey:  store.PartKey{Call: id, Part: now.Add(time.Duration(i/2) * time.Second).UnixMilli(), Node: "n"},
					Metadata: map[string]string{"from": fmt.Sprintf("Ä100%%_%d", i)},
				},
			)
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
		{store.Filter{Decision: "flagged"}, 5},
		{store.Filter{State: "ended"}, 5},
		{store.Filter{State: "live", Decision: "flagged"}, 0},
		{store.Filter{Query: "CALL-2"}, 5},
		{store.Filter{Query: "100%_7"}, 1},
		{store.Filter{Query: "100_"}, 0},
		{store.Filter{Query: `\`}, 0},
		{store.Filter{Review: "waiting"}, 0},
	} {
		if list, _, err := s.Calls(ctx, c.f); err != nil || len(list) != c.want {
			t.Errorf("%+v: %d calls, %v", c.f, len(list), err)
		}
	}
	if list, err := s.Segments(ctx); err != nil || list != nil {
		t.Error(list, err)
	}
}

func heartbeats(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	must(t, s.Heartbeat(ctx, "a", 0))
	first, err := s.Beats(ctx)
	if err != nil || len(first) != 1 || first[0].Node != "a" || first[0].Age > time.Minute {
		t.Fatal(first, err)
	}
	stale := first[0]
	stale.Seen--
	if _, done, err := s.TakeOver(ctx, stale); err != nil || done {
		t.Errorf("a node that has sent a heartbeat since was taken over, %v", err)
	}
	if _, done, err := s.TakeOver(ctx, first[0]); err != nil || !done {
		t.Errorf("a node without a further heartbeat was not taken over, %v", err)
	}
}

func livePolicies(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	list := func(within time.Duration) string {
		t.Helper()
		policies, err := s.LivePolicies(ctx, within)
		must(t, err)
		var b strings.Builder
		for _, p := range policies {
			fmt.Fprintf(&b, "%d %s %v; ", p.Version, p.Body, p.Nodes)
		}
		return b.String()
	}
	for _, body := range []string{"one", "two"} {
		if _, err := s.UsePolicy(ctx, []byte(body), now); err != nil {
			t.Fatal(err)
		}
	}
	for node, version := range map[string]int64{"c": 1, "a": 2, "b": 1, "unknown": 0, "newer": 7} {
		must(t, s.Heartbeat(ctx, node, version))
	}
	if got, want := list(time.Minute), "1 one [b c]; 2 two [a]; "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	must(t, s.Heartbeat(ctx, "a", 1)) // reloaded
	if got, want := list(time.Minute), "1 one [a b c]; "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := list(-time.Minute); got != "" {
		t.Errorf("dead nodes: %q", got)
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
