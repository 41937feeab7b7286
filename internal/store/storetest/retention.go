package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"callscreen/internal/store"
)

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
		must(t, tx.AddDecision(ctx, store.Decision{
			Call:    "c",
			Seq:     1,
			At:      now,
			Outcome: "flagged",
			Reasons: []string{"r"},
		}))
		_, err := tx.AddMessage(ctx, store.Message{
			ID:        "m",
			Event:     "e",
			Call:      "c",
			CreatedAt: now,
			Body:      "{}",
		}, []string{"a"})
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

func expiredCalls(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for i, call := range []string{"done", "live", "provisional", "waiting", "audio", "told", "young"} {
		record(t, s, call, 0)
		if call == "live" {
			continue
		}
		at := now.Add(time.Duration(i) * time.Second)
		if call == "young" {
			at = now.Add(time.Hour)
		}
		end(t, s, store.Part{PartKey: key(call), EndedAt: at})
		change(t, s, call, func(c *store.Call) { c.Final = call != "provisional" })
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		skipped := segment("done", 0)
		skipped.State, skipped.AudioKey = store.SegmentSkipped, ""
		_, err := tx.AddSegment(ctx, skipped)
		if err != nil {
			return err
		}
		kept := segment("audio", 0)
		kept.State = store.SegmentFailed
		if _, err := tx.AddSegment(ctx, kept); err != nil {
			return err
		}
		if err := tx.OpenReview(ctx, "waiting", now); err != nil {
			return err
		}
		_, err = tx.AddMessage(ctx, store.Message{
			ID:        "m",
			Event:     "call.cleared",
			Call:      "told",
			CreatedAt: now,
			Body:      "{}",
		}, []string{"crm"})
		return err
	}))
	for before, want := range map[time.Time][]string{now: nil, now.Add(time.Minute): {"done"}} {
		if got, err := s.ExpiredCalls(ctx, before, 10); err != nil || !slices.Equal(got, want) {
			t.Errorf("before %v: %v %v", before, got, err)
		}
	}
	if got, err := s.ExpiredCalls(ctx, now.Add(2*time.Hour), 1); err != nil || !slices.Equal(got, []string{"done"}) {
		t.Errorf("one: %v %v", got, err)
	}
}
