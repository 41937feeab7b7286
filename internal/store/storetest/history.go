package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// Past makes stored calls to look back on, and reads them as a policy does.
type Past struct {
	// Fill writes the ended calls of a month into an empty database, each with so many segments.
	Fill func(tb testing.TB, s *store.Store, calls, segments int)
	// Findings returns the findings of the segments of an ended call.
	Findings func(segments []store.SegmentRow) []policy.Finding
}

// visited returns copies of the calls that History visits.
func visited(t *testing.T, s *store.Store, w store.Window) (list []store.Past) {
	t.Helper()
	for p, err := range s.History(ctxOf(t), w) {
		must(t, err)
		p := *p
		p.Segments = slices.Clone(p.Segments)
		list = append(list, p)
	}
	return list
}

// history covers several pages, the last of which is full.
func (past Past) history(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	past.Fill(t, s, 599, 5)
	record(t, s, "live", 1)
	interleaved(t, s, "two nodes")
	all := visited(t, s, store.Window{Read: store.ReadAll})
	if len(all) != 600 {
		t.Fatalf("%d calls", len(all))
	}
	reviewed := 0
	for i, p := range all {
		if p.ID != fmt.Sprintf("call-%06d", i) && (p.ID != "two nodes" || i != 599) {
			t.Fatalf("call %d is %s", i, p.ID)
		}
		c, err := s.Call(ctx, p.ID)
		must(t, err)
		segments, err := s.Segments(ctx, p.ID)
		must(t, err)
		if !reflect.DeepEqual(p.Call, c) || !reflect.DeepEqual(p.Segments, segments) {
			t.Fatalf("got  %+v\nwant %+v %+v", p, c, segments)
		}
		if i < 599 &&
			policy.Default().Decide(past.Findings(p.Segments), p.Metadata).Outcome.String() != p.Decision {
			t.Errorf("the month is not as a sidecar writes it: %s is %s", p.ID, p.Decision)
		}
		if p.Hearing.Disposition != "" && !p.Hearing.ClosedAt.IsZero() && p.Hearing.ClosedBy != "" && !p.Hearing.OpenedAt.IsZero() &&
			p.Hearing.State == store.ReviewClosed {
			reviewed++
		}
	}
	order := ""
	for _, g := range all[599].Segments {
		order += g.Reason + " "
	}
	if order != "00 10 01 20 11 21 " {
		t.Errorf("the segments of two nodes are in the order %s", order)
	}
	if reviewed == 0 {
		t.Error("no call has a disposition")
	}
	for _, readers := range []int{0, 1, 3} {
		light := visited(t, s, store.Window{Readers: readers})
		if len(light) != len(all) {
			t.Fatalf("%d readers: %d calls", readers, len(light))
		}
		for i, p := range light {
			want := all[i]
			want.Call = decided(want.Call)
			got, findings := past.Findings(p.Segments), past.Findings(want.Segments)
			if !reflect.DeepEqual(got, findings) || !reflect.DeepEqual(p.Call, want.Call) || p.Hearing != want.Hearing {
				t.Fatalf("%d readers: got %+v %+v, want %+v %+v", readers, p, got, want, findings)
			}
		}
	}
	for _, p := range visited(t, s, store.Window{Read: store.ReadCalls}) {
		if len(p.Segments) != 0 || len(p.Summary) == 0 && p.ID != "two nodes" {
			t.Fatalf("%+v", p)
		}
	}
}

// decided returns what a backtest reads of a call.
func decided(c store.Call) store.Call {
	return store.Call{
		ID:        c.ID,
		StartedAt: c.StartedAt,
		State:     c.State,
		Metadata:  c.Metadata,
		Simulated: c.Simulated,
		Decision:  c.Decision,
		Review:    c.Review,
		Number:    c.Number,
	}
}

// interleaved inserts a call whose caller was recorded by two nodes in turns. Its segments must be visited in the order
// of time.
func interleaved(t *testing.T, s *store.Store, call string) {
	t.Helper()
	ctx := ctxOf(t)
	for i, name := range []string{"n2", "n1"} {
		p := store.Part{PartKey: store.PartKey{Call: call, Part: now.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), Node: name}}
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			if _, err := tx.Begin(ctx, p); err != nil {
				return err
			}
			for seq := range 3 {
				g := segment(call, seq)
				g.PartKey, g.ID, g.State, g.Reason = p.PartKey, name+g.ID, store.SegmentFailed, fmt.Sprintf("%d%d", seq, i)
				if _, err := tx.AddSegment(ctx, g); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	for i, name := range []string{"n2", "n1"} {
		end(
			t,
			s,
			store.Part{
				PartKey: store.PartKey{Call: call, Part: now.Add(time.Duration(i) * 15 * time.Second).UnixMilli(), Node: name},
				EndedAt: now.Add(time.Hour),
			},
		)
	}
}

func windows(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i, id := range []string{"b", "a", "c", "d"} { // two start at the same time
		k := key(id)
		k.Part += int64(i / 2 * 1000)
		must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, store.Part{PartKey: k}); return err }))
		if id != "d" {
			end(t, s, store.Part{PartKey: k, EndedAt: now.Add(time.Minute)})
		}
	}
	for _, c := range []struct {
		from, to time.Duration
		want     string
	}{
		{-1, 2000, "[a b c]"},
		{0, 1001, "[a b c]"},
		{0, 1000, "[a b]"},
		{1, 1001, "[c]"},
		{1000, 1001, "[c]"},
		{1001, 2000, "[]"},
		{-2, -1, "[]"},
	} {
		got := []string{}
		for _, p := range visited(t, s, store.Window{From: now.Add(c.from * time.Millisecond), To: now.Add(c.to * time.Millisecond)}) {
			got = append(got, p.ID)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("from %d to %d: %v, want %s", c.from, c.to, got, c.want)
		}
	}
	if got := visited(t, s, store.Window{}); len(got) != 3 {
		t.Errorf("without bounds: %d", len(got))
	}
	if got := visited(t, s, store.Window{From: now.Add(time.Millisecond)}); len(got) != 1 {
		t.Errorf("without an end: %d", len(got))
	}
}

// leaving checks that a caller who stops early ends the readers.
func (past Past) leaving(t *testing.T, s *store.Store) {
	past.Fill(t, s, 900, 2)
	n := 0
	for range s.History(ctxOf(t), store.Window{Readers: 2}) {
		if n++; n == 3 {
			break
		}
	}
	ctx, cancel := context.WithCancel(ctxOf(t))
	defer cancel()
	var last error
	n = 0
	for _, err := range s.History(ctx, store.Window{Readers: 2}) {
		if n++; n == 3 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) || n == 900 {
		t.Errorf("%d calls, then %v", n, last)
	}
}

// pastLegs reads back what a policy reads of a leg, rare values too.
func pastLegs(t *testing.T, s *store.Store) {
	shared, own := map[string]string{"queue": "payments"}, map[string]string{"queue": "other = one"}
	part := store.Part{PartKey: key("c"), EndedAt: now, Metadata: shared}
	want := []store.LegProgress{
		{Leg: "a", Metadata: []map[string]string{shared}},
		{Leg: "b", Lost: time.Second, Ledger: &report.Ledger{Recorded: 5e9}},
		{Leg: "c", Bound: true, Metadata: []map[string]string{shared, own}, Ledger: &report.Ledger{
			Recorded:    5e9,
			Noise:       1e9,
			Paused:      2e9,
			Interrupted: true,
			Unrecorded:  map[string]report.Seconds{"late": 3e9, "leg busy": 1e9},
		}},
		{Leg: "d", Lost: 20 * time.Minute, Ledger: &report.Ledger{Recorded: 5e9}},
		{Leg: "e", Lost: time.Second, Ledger: &report.Ledger{Recorded: 8e9}},
	}
	for i := range want {
		want[i].PartKey, want[i].Duration = part.PartKey, 9*time.Second
	}
	part.Legs = want
	must(t, begin(t, s, part))
	end(t, s, part)
	change(t, s, "c", func(c *store.Call) { c.State = store.CallEnded })
	past := visited(t, s, store.Window{})
	if len(past) != 1 || !reflect.DeepEqual(past[0].Legs, want) {
		t.Errorf("got  %+v\nwant one call of %+v", past, want)
	}
}
