package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"callscreen/internal/store"
)

func parts(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	c, err := s.Call(ctx, "c")
	must(t, err)
	if c.State != store.CallLive || !c.StartedAt.Equal(now) || c.Metadata["queue"] != "Payments" || c.Final || c.Score != nil ||
		c.AudioUntil != nil {
		t.Errorf("%+v", c)
	}
	p := store.Part{
		PartKey:  key("c"),
		EndedAt:  now.Add(time.Minute),
		How:      "interrupted",
		Warnings: []string{"w"},
		Legs:     []store.LegProgress{{Leg: "caller", Duration: 61 * time.Second, Lost: time.Second}},
	}
	// The recording was interrupted a minute after its start, as far as recorded progress shows, and a second more was
	// recorded.
	if c = end(t, s, p); c.State != store.CallEnded || !c.EndedAt.Equal(now.Add(61*time.Second)) {
		t.Errorf("%+v", c)
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		list, err := tx.Parts(ctx, "c")
		if err != nil || len(list) != 1 || list[0].How != "interrupted" || list[0].Warnings[0] != "w" || len(list[0].Legs) != 1 ||
			list[0].Legs[0].Duration != 61*time.Second ||
			list[0].Legs[0].Lost != time.Second {
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
	p := store.Part{
		PartKey: key("c"),
		EndedAt: now.Add(time.Minute),
		How:     "node_lost",
		Legs:    []store.LegProgress{{Leg: "caller", Duration: 61 * time.Second}, {Leg: "agent", Duration: 5 * time.Second}},
	}
	for range 2 { // the second time as after a crash before it was removed from the spool
		end(t, s, p)
		list, err := s.Segments(ctx, "c")
		must(t, err)
		var got []string
		for _, g := range list {
			got = append(got, fmt.Sprintf("%s %s %s %v %d", g.Leg, g.State, g.Reason, g.Offset, g.Seq))
		}
		if want := []string{"caller recorded  0s 0", "agent failed interrupted 5s -1", "caller failed interrupted 1m1s -1"}; !slices.Equal(
			got,
			want,
		) {
			t.Errorf("%v", got)
		}
	}
	p.How, p.EndedAt = "", time.Time{}
	end(t, s, p)
	if list, err := s.Segments(ctx, "c"); err != nil || len(list) != 1 {
		t.Errorf("it goes on: %v %v", list, err)
	}
}

func missing(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	last := segment("c", 4)
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.AddSegment(ctx, last); return err }))
	p := store.Part{
		PartKey: key("c"),
		Legs:    []store.LegProgress{{Leg: "caller", Duration: time.Minute, Segments: 6}, {Leg: "agent", Duration: time.Minute}},
	}
	list := func(what string, want ...string) {
		t.Helper()
		segments, err := s.Segments(ctx, "c")
		must(t, err)
		var got []string
		for _, g := range segments {
			got = append(got, fmt.Sprintf("%s %d %s %s %v", g.Leg, g.Seq, g.State, g.Reason, g.Offset))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q", what, got)
		}
	}
	end(t, s, p)
	list("it continues, and they may still arrive", "caller 0 recorded  0s", "caller 1 recorded  10s", "caller 4 recorded  40s")
	p.EndedAt = now.Add(time.Minute)
	for range 2 { // the second time as after a crash before it was removed from the spool
		end(t, s, p)
		list(
			"it ended",
			"caller 0 recorded  0s",
			"caller 1 recorded  10s",
			"caller 2 failed storage 19s",
			"caller 3 failed storage 19s",
			"caller 4 recorded  40s",
			"caller 5 failed storage 49s",
		)
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		if added, err := tx.AddSegment(ctx, segment("c", 3)); err != nil || !added {
			t.Errorf("one turns up: %v %v", added, err)
		}
		return nil
	}))
	list(
		"one turns up",
		"caller 0 recorded  0s",
		"caller 1 recorded  10s",
		"caller 2 failed storage 19s",
		"caller 3 recorded  30s",
		"caller 4 recorded  40s",
		"caller 5 failed storage 49s",
	)
}

func twoNodes(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	other := store.Part{
		PartKey:  store.PartKey{Call: "c", Part: now.Add(-time.Second).UnixMilli(), Node: "n2"},
		Metadata: map[string]string{"queue": "x", "from": "y"},
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Begin(ctx, other); return err }))
	c := end(t, s, store.Part{PartKey: key("c"), EndedAt: now.Add(time.Second)})
	if c.State != store.CallLive || c.Metadata["queue"] != "Payments" || c.Metadata["from"] != "y" ||
		!c.StartedAt.Equal(now.Add(-time.Second)) {
		t.Errorf("one part goes on: %+v", c)
	}
	// A leg that joins a part later can add metadata, and does not change existing metadata.
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
	// The same part again, as after a crash between the commit and the removal from the spool, changes nothing.
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
