package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/store"
)

const lease = 10 * time.Minute

// openReview creates a call that waits for review.
func openReview(t *testing.T, s *store.Store, call string) {
	t.Helper()
	ctx := ctxOf(t)
	record(t, s, call, 1)
	must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.OpenReview(ctx, call, now) }))
}

func review(t *testing.T, s *store.Store, call string) store.Review {
	t.Helper()
	found, err := s.Reviews(ctxOf(t), call)
	must(t, err)
	return found[call]
}

func claimRace(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	openReview(t, s, "c")
	const analysts = 8
	errs := make([]error, analysts)
	var all sync.WaitGroup
	for i := range analysts {
		all.Go(func() {
			_, errs[i] = s.ChangeReview(ctx, store.ReviewChange{
				Call:    "c",
				Action:  store.ReviewClaim,
				Who:     fmt.Sprint("analyst ", i),
				Version: 1,
				Lease:   lease,
				At:      now,
			})
		})
	}
	all.Wait()
	r := review(t, s, "c")
	won := 0
	for i, err := range errs {
		var conflict *store.ReviewConflict
		switch {
		case err == nil:
			won++
			if r.Assignee != fmt.Sprint("analyst ", i) {
				t.Errorf("analyst %d was told that it is theirs, but it is %s's", i, r.Assignee)
			}
		case !errors.As(err, &conflict) || conflict.Current.Version != 2 || !errors.Is(err, store.ErrConflict):
			t.Error(err)
		}
	}
	if won != 1 || r.Version != 2 || audited(t, s, "c", store.AuditReview) != 1 {
		t.Errorf("%d won, %+v, %d audit lines", won, r, audited(t, s, "c", store.AuditReview))
	}
}

func reviewChanges(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	openReview(t, s, "c")
	record(t, s, "clear", 1)
	for _, c := range []struct {
		name   string
		change store.ReviewChange
		want   string // "" for none
	}{
		{"release an unclaimed call", store.ReviewChange{Action: "release", Who: "anna", Version: 1}, "is not claimed"},
		{"claim", store.ReviewChange{Action: "claim", Who: "anna", Version: 1}, ""},
		{"claim with an old version", store.ReviewChange{Action: "claim", Who: "bob", Version: 1}, "version 2, not 1"},
		{"claim what another has", store.ReviewChange{Action: "claim", Who: "bob", Version: 2}, "anna is working on this call until 12:10 UTC"},
		{"dispose of what another has", store.ReviewChange{Action: "dispose", Who: "bob", Version: 2, Disposition: "unsure"}, "anna is working"},
		{"release what another has", store.ReviewChange{Action: "release", Who: "bob", Version: 2}, "anna is working"},
		{"claim longer", store.ReviewChange{Action: "claim", Who: "anna", Version: 2}, ""},
		{"release", store.ReviewChange{Action: "release", Who: "anna", Version: 3}, ""},
		{"claim again", store.ReviewChange{Action: "claim", Who: "anna", Version: 4}, ""},
		{"release as an administrator", store.ReviewChange{Action: "release", Who: "root", Version: 5, Override: true}, ""},
		{"claim once more", store.ReviewChange{Action: "claim", Who: "anna", Version: 6}, ""},
		{"claim what has expired", store.ReviewChange{Action: "claim", Who: "bob", Version: 7, At: now.Add(lease)}, ""},
		{"no such disposition", store.ReviewChange{Action: "dispose", Who: "bob", Version: 8, Disposition: "x"}, "unknown disposition"},
		{"no such action", store.ReviewChange{Action: "x", Who: "bob", Version: 8}, "unknown action"},
		{"dispose", store.ReviewChange{
			Action:      "dispose",
			Who:         "bob",
			Version:     8,
			Disposition: "false_alarm",
			Note:        "the bank's announcement",
		}, ""},
		{"claim what is closed", store.ReviewChange{Action: "claim", Who: "anna", Version: 9}, "is closed"},
		{"correct", store.ReviewChange{
			Action:      "dispose",
			Who:         "anna",
			Version:     9,
			Disposition: "unsure",
			Note:        "or not",
		}, ""},
		{"nothing to review", store.ReviewChange{Call: "clear", Action: "claim", Who: "anna", Version: 1}, store.ErrNoReview.Error()},
		{"no such call", store.ReviewChange{Call: "none", Action: "claim", Who: "anna", Version: 1}, store.ErrNotFound.Error()},
	} {
		if c.change.Call == "" {
			c.change.Call = "c"
		}
		if c.change.At.IsZero() {
			c.change.At = now
		}
		c.change.Lease = lease
		_, err := s.ChangeReview(ctx, c.change)
		if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	r := review(t, s, "c")
	if r.State != store.ReviewClosed || r.ClosedBy != "anna" || r.Disposition != "unsure" || r.Note != "or not" || r.Version != 10 ||
		r.ClaimedBy(now) != "" {
		t.Errorf("%+v", r)
	}
	said, err := s.DispositionsOf(ctx, "c")
	must(t, err)
	if len(said) != 2 || said[0].Who != "bob" || said[0].Note != "the bank's announcement" || said[1].Version != 10 || !said[1].At.Equal(now) {
		t.Errorf("%+v", said)
	}
	lines, err := s.AuditOf(ctx, "c")
	must(t, err)
	var story []string
	for _, l := range lines {
		if l.What == store.AuditReview {
			story = append(story, fmt.Sprint(l.Actor, " ", l.Detail["action"], " ", l.Detail["version"], " ", l.Detail["disposition"]))
		}
		if strings.Contains(fmt.Sprint(l.Detail), "bank") {
			t.Errorf("the note is in the audit, which outlives the call: %+v", l)
		}
	}
	want := []string{
		"anna claim 2 <nil>",
		"anna claim 3 <nil>",
		"anna release 4 <nil>",
		"anna claim 5 <nil>",
		"root release 6 <nil>",
		"anna claim 7 <nil>",
		"bob claim 8 <nil>",
		"bob dispose 9 false_alarm",
		"anna dispose 10 unsure",
	}
	if !slices.Equal(story, want) {
		t.Errorf("got  %q\nwant %q", story, want)
	}
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	must(t, settle(ctx, s, "c", "c-0", 0.9))
	list, err := s.Segments(ctx, "c")
	must(t, err)
	must(t, s.AudioDeleted(ctx, "c", list, now))
	must(t, s.Erase(ctx, asked("root")))
	if said, err := s.DispositionsOf(ctx, "c"); err != nil || len(said) != 0 {
		t.Errorf("after it was erased: %+v %v", said, err)
	}
}

func reopened(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	openReview(t, s, "c")
	if _, err := s.ChangeReview(ctx, store.ReviewChange{
		Call:        "c",
		Action:      "dispose",
		Who:         "anna",
		Version:     1,
		Disposition: "unsure",
		At:          now,
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state string
		want  int
	}{{store.ReviewWaiting, 0}, {store.ReviewClosed, 1}} {
		if list, _, err := s.Calls(ctx, store.Filter{Review: c.state}); err != nil || len(list) != c.want {
			t.Errorf("%s: %d calls, %v", c.state, len(list), err)
		}
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.OpenReview(ctx, "c", now) }))
	if r := review(t, s, "c"); r.State != store.ReviewWaiting || r.Version != 3 || r.Disposition != "unsure" || r.ClosedBy != "anna" {
		t.Errorf("%+v", r)
	}
	// Other changes of the call do not affect its review.
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	if list, _, err := s.Calls(ctx, store.Filter{Review: store.ReviewWaiting}); err != nil || len(list) != 1 {
		t.Errorf("%d calls, %v", len(list), err)
	}
}

func waitingLists(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i, id := range []string{"a", "b", "c"} {
		record(t, s, id, 0)
		must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.OpenReview(ctx, id, now.Add(time.Duration(-i)*time.Minute)) }))
	}
	record(t, s, "unscreened", 0)
	change(t, s, "unscreened", func(c *store.Call) { c.State, c.Final = store.CallEnded, true })
	record(t, s, "clear", 0)
	change(t, s, "clear", func(c *store.Call) { c.State, c.Final, c.Decision = store.CallEnded, true, "clear" })
	for limit, want := range map[int]store.CallCounts{
		100: {Waiting: 3, Unscreened: 1, Live: 3, All: 5},
		2:   {Waiting: 2, Unscreened: 1, Live: 2, All: 2},
	} {
		if c, err := s.CountCalls(ctx, limit); err != nil || c != want {
			t.Errorf("up to %d: %+v %v", limit, c, err)
		}
	}
	if list, _, err := s.Calls(ctx, store.Filter{Unscreened: true}); err != nil || len(list) != 1 || list[0].ID != "unscreened" {
		t.Errorf("%+v %v", list, err)
	}
	next := func(who, not string) string {
		call, err := s.NextWaiting(ctx, now, who, not)
		must(t, err)
		return call
	}
	if got := next("anna", ""); got != "c" {
		t.Errorf("the one that has waited the longest is %q", got)
	}
	if _, err := s.ChangeReview(ctx, store.ReviewChange{
		Call:    "c",
		Action:  "claim",
		Who:     "anna",
		Version: 1,
		Lease:   lease,
		At:      now,
	}); err != nil {
		t.Fatal(err)
	}
	if anna, bob, other := next("anna", ""), next("bob", ""), next("bob", "b"); anna != "c" || bob != "b" || other != "a" {
		t.Errorf("next for anna %q, for bob %q, after b %q", anna, bob, other)
	}
}

func auditTail(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	if head, err := s.AuditHead(ctx); err != nil || head != 0 {
		t.Error(head, err)
	}
	for range 5 {
		must(t, s.InTx(ctx, func(tx *store.Tx) error { return tx.Audit(ctx, store.Line{At: now, Actor: "a", What: "x"}) }))
	}
	list, err := s.AuditAfter(ctx, 1, 3)
	must(t, err)
	if head, err := s.AuditHead(ctx); err != nil || head != 5 || len(list) != 3 || list[0].Seq != 2 || list[2].Seq != 4 {
		t.Errorf("%d %v %+v", head, err, list)
	}
}

func liveMarks(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	mark := func() string {
		m, err := s.LiveMarks(ctx, 10)
		must(t, err)
		return m["c"]
	}
	record(t, s, "c", 1)
	seen := []string{mark()}
	end(t, s, store.Part{PartKey: key("c"), Legs: []store.LegProgress{{Leg: "caller", Duration: time.Second}}})
	seen = append(seen, mark())
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.AddSegment(ctx, segment("c", 1)); return err }))
	seen = append(seen, mark())
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	if seen = append(seen, mark()); len(slices.Compact(slices.Clone(seen))) != 4 || seen[0] == "" || seen[3] != "" {
		t.Errorf("%q", seen)
	}
	parts, err := s.PartsOf(ctx, "c")
	if err != nil || len(parts) != 1 || len(parts[0].Legs) != 1 {
		t.Errorf("%+v %v", parts, err)
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		return tx.AddDecision(ctx, store.Decision{
			Call:      "c",
			Seq:       1,
			At:        now,
			Outcome:   "flagged",
			Threshold: 0.6,
			Reasons:   []string{"r"},
		})
	}))
	if d, err := s.DecisionsOf(ctx, "c"); err != nil || len(d) != 1 || d[0].Reasons[0] != "r" || d[0].Threshold != 0.6 {
		t.Errorf("%+v %v", d, err)
	}
}

func sessions(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	one := store.Session{
		Hash:      "h1",
		Name:      "anna",
		Roles:     []string{"reviewer", "viewer"},
		Source:    "token",
		CreatedAt: now,
		SeenAt:    now,
		ExpiresAt: now.Add(time.Hour),
	}
	must(t, s.SaveSession(ctx, one, now.Add(-time.Hour)))
	must(t, s.TouchSession(ctx, "h1", now.Add(time.Minute)))
	got, err := s.Session(ctx, "h1")
	if err != nil || got.Name != "anna" || !slices.Equal(got.Roles, one.Roles) || !got.SeenAt.Equal(now.Add(time.Minute)) ||
		!got.ExpiresAt.Equal(one.ExpiresAt) {
		t.Errorf("%+v %v", got, err)
	}
	gone := func(hash string) bool { _, err := s.Session(ctx, hash); return errors.Is(err, store.ErrNotFound) }
	later := func(hash string, at, idle time.Time) {
		must(t, s.SaveSession(ctx, store.Session{Hash: hash, SeenAt: at, ExpiresAt: at.Add(time.Hour)}, idle))
	}
	if later("h2", now.Add(2*time.Minute), now); gone("h1") || gone("h2") {
		t.Error("a session that is in use is gone")
	}
	if later("h3", now.Add(3*time.Minute), now.Add(time.Minute)); !gone("h1") || gone("h2") {
		t.Error("a session that was not used for long is there, or another is gone")
	}
	if later("h4", now.Add(2*time.Hour), now.Add(time.Minute)); !gone("h2") || !gone("h3") {
		t.Error("a session that has expired is there")
	}
	for range 2 {
		must(t, s.EndSession(context.Background(), "h4"))
	}
	if !gone("h4") {
		t.Error("a session that was ended is there")
	}
	must(t, s.Export(ctx, func(table string, _ map[string]any) error {
		if table == "session" {
			t.Error("sessions are exported")
		}
		return nil
	}))
}
