package storetest

import (
	"errors"
	"fmt"
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
	expired := func(want ...string) {
		t.Helper()
		var calls []string
		got, err := s.ExpiredAudio(ctx, "n1", now, store.ExpiredAudio{}, 10)
		for _, e := range got {
			calls = append(calls, e.Call)
		}
		if err != nil || !slices.Equal(calls, want) {
			t.Fatal(calls, err)
		}
	}
	expired("done")
	list, err := s.Segments(ctx, "done")
	must(t, err)
	for range 2 { // two nodes delete it at once
		must(t, s.AudioDeleted(ctx, "done", list, now))
	}
	g, _ := s.Segment(ctx, "done-0")
	if g.AudioKey != "" || g.AudioSHA256 != "ab" || !g.AudioDeletedAt.Equal(now) || audited(t, s, "done", store.AuditExpired) != 1 {
		t.Errorf("%+v", g)
	}
	expired()
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
	if err := s.Erase(ctx, asked("me")); !errors.Is(err, store.ErrConflict) {
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
	if err := s.Erase(ctx, asked("me")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a call with a segment that is analysed, and has audio: %v", err)
	}
	must(t, settle(ctx, s, "c", "c-1", 0.9))
	if err := s.Erase(ctx, asked("me")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a call with audio: %v", err)
	}
	must(t, s.AudioDeleted(ctx, "c", list[1:], now))
	if c, err := s.Call(ctx, "c"); err != nil || c.AudioUntil != nil {
		t.Errorf("a call without audio: %+v %v", c, err)
	}
	must(t, s.Erase(ctx, asked("me")))
	if err := s.Erase(ctx, asked("me")); !errors.Is(err, store.ErrNotFound) {
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
	if len(rows) != 2 || rows["audit"] != 5 || rows["erased"] != 1 {
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
	expired := func(before time.Time, gone []string, after store.Cursor, limit int, want ...string) {
		t.Helper()
		var calls []string
		got, err := s.ExpiredCalls(ctx, before, gone, after, limit)
		for _, c := range got {
			calls = append(calls, c.ID)
		}
		if err != nil || !slices.Equal(calls, want) {
			t.Errorf("before %v: %v %v", before, calls, err)
		}
	}
	expired(now, nil, store.Cursor{}, 10)
	expired(now.Add(time.Minute), nil, store.Cursor{}, 10, "done")
	expired(now.Add(2*time.Hour), nil, store.Cursor{}, 1, "done")
	expired(now.Add(2*time.Hour), nil, store.Cursor{StartedMS: now.UnixMilli(), ID: "done"}, 1, "young")
	adopt(t, s, 1, "", "gone", "audio-0")
	expired(now.Add(time.Minute), []string{"another"}, store.Cursor{}, 10, "done")
	expired(now.Add(time.Minute), []string{"another", "gone"}, store.Cursor{}, 10, "audio", "done")
}

// expiryPages lists expired audio in pages, in a stable order, whatever happens to the calls of earlier pages.
func expiryPages(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	var want []string
	for i := range 25 {
		id := fmt.Sprintf("call-%02d", i)
		record(t, s, id, 1)
		must(t, settle(ctx, s, id, id+"-0", 0.1))
		until := now.Add(time.Duration(i/10) * time.Second)
		change(t, s, id, func(c *store.Call) { c.State, c.Final, c.AudioUntil = store.CallEnded, true, &until })
		want = append(want, id)
	}
	var got []string
	for last := (store.ExpiredAudio{}); ; {
		page, err := s.ExpiredAudio(ctx, "n1", now.Add(time.Minute), last, 4)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			got = append(got, e.Call)
		}
		last = page[len(page)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// removedEndpoints gives up deliveries to endpoints that no node serves, and no others.
func removedEndpoints(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 0)
	for i, at := range []time.Time{now, now.Add(time.Hour)} {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			_, err := tx.AddMessage(ctx, store.Message{
				ID:        fmt.Sprint("m", i),
				Event:     "call.flagged",
				Call:      "c",
				CreatedAt: at,
				Body:      "{}",
			}, []string{"crm", "removed"})
			return err
		}))
	}
	stuck, err := s.Stuck(ctx, []string{"crm"}, now.Add(90*time.Minute))
	if err != nil || !slices.Equal(stuck, []store.Stuck{{Kind: store.StuckWebhook, Where: "removed", Count: 1, Call: "c"}}) {
		t.Error(stuck, err)
	}
	for _, want := range []int64{1, 0} {
		given, err := s.GiveUpDeliveries(ctx, []string{"crm"}, now.Add(time.Minute), now, "not configured")
		if err != nil || given["removed"] != want || given["crm"] != 0 {
			t.Fatal(given, err)
		}
	}
	dead, err := s.DeadLetters(ctx, 10)
	if err != nil || len(dead) != 1 || dead[0].Endpoint != "removed" || dead[0].ID != "m0" || dead[0].LastError != "not configured" {
		t.Error(dead, err)
	}
	given, err := s.GiveUpDeliveries(ctx, nil, now.Add(2*time.Hour), now, "none")
	if err != nil || given["crm"] != 2 || given["removed"] != 1 {
		t.Error("without any endpoint:", given, err)
	}
}

// lostAudio finds the audio of nodes that are gone, and gives it to another node.
func lostAudio(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 3)
	must(t, settle(ctx, s, "c", "c-0", 0.1))
	adopt(t, s, 3, "", "old", "c-0", "c-1", "c-2")
	record(t, s, "other", 1)
	adopt(t, s, 1, "", "alive", "other-0")
	must(t, s.Heartbeat(ctx, "alive", 0))
	nodes, err := s.AudioNodes(ctx)
	if err != nil || len(nodes) != 2 || nodes[0].Node != "alive" || nodes[0].Silent > time.Minute || nodes[0].Segments != 1 {
		t.Fatal(nodes, err)
	}
	if old := nodes[1]; old.Node != "old" || old.Segments != 3 || old.Silent < 24*time.Hour {
		t.Errorf("a node that recorded long ago and has no row: %+v", old)
	}
	if n := jobs(t, s, "old"); n != 2 {
		t.Errorf("%d jobs in the queue of the node, want those of the unsettled segments", n)
	}
	list, err := s.AudioOf(ctx, "old", "c-0", 1)
	if err != nil || len(list) != 1 || list[0].ID != "c-1" {
		t.Fatal(list, err)
	}
	adopt(t, s, 2, "old", "new", "c-0", "c-1", "other-0")
	adopt(t, s, 0, "old", "new", "c-0", "c-1", "other-0")
	if n := jobs(t, s, "new"); n != 1 {
		t.Errorf("%d jobs in the queue of the new node", n)
	}
}

// stuckData lists audio that should be gone, by the reason why it is not.
func stuckData(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for _, id := range []string{"refused", "lost", "kept", "young", "erased"} {
		record(t, s, id, 1)
		must(t, settle(ctx, s, id, id+"-0", 0.1))
		end(t, s, store.Part{PartKey: key(id), EndedAt: now})
		until := now
		if id == "kept" {
			until = now.Add(24 * time.Hour)
		}
		change(t, s, id, func(c *store.Call) { c.Final, c.AudioUntil = id != "young", &until })
	}
	adopt(t, s, 1, "", "gone", "lost-0")
	adopt(t, s, 1, "", "gone", "erased-0")
	must(t, s.Erase(ctx, store.Erasure{Call: "erased", Who: "me", At: now, Unreached: []string{"gone"}}))
	lost := store.StuckLostNode
	if !s.Shared() { // every name is that of the one node
		lost = store.StuckAudio
	}
	want := []store.Stuck{
		{Kind: store.StuckAudio, Count: 1, Call: "refused"},
		{Kind: lost, Where: "gone", Count: 1, Call: "lost"},
		{Kind: store.StuckErasedAudio, Where: "gone", Count: 1, Call: "erased"},
	}
	if got, err := s.Stuck(ctx, nil, now.Add(2*time.Hour)); err != nil || !slices.Equal(got, want) {
		t.Error(got, err)
	}
	if got, err := s.Stuck(ctx, nil, now.Add(time.Minute)); err != nil || len(got) != 1 {
		t.Error("just expired:", got, err)
	}
}
