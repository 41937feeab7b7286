package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"callscreen/internal/store"
)

// asked is the erasure of the call c on request.
func asked(who string) store.Erasure {
	return store.Erasure{Call: "c", Who: who, Why: "asked", At: now}
}

// began returns a part of the call c that began some time after the erasure.
func began(after time.Duration) store.Part {
	return store.Part{PartKey: store.PartKey{Call: "c", Part: now.Add(after).UnixMilli(), Node: "n2"}}
}

func begin(t *testing.T, s *store.Store, p store.Part) error {
	t.Helper()
	ctx := ctxOf(t)
	return s.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Begin(ctx, p)
		return err
	})
}

// jobs returns the number of jobs in a queue.
func jobs(t *testing.T, s *store.Store, queue string) (n int) {
	t.Helper()
	must(t, s.Driver().GetExecutor().QueryRow(ctxOf(t), "SELECT count(*) FROM river_job WHERE queue = $1", queue).Scan(&n))
	return n
}

// adopt moves the audio of segments from one node to another, and checks the number of those that moved.
func adopt(t *testing.T, s *store.Store, want int64, from, to string, segments ...string) {
	t.Helper()
	if n, err := s.AdoptAudio(ctxOf(t), segments, from, to); err != nil || n != want {
		t.Fatalf("%d segments moved from %q to %q, want %d: %v", n, from, to, want, err)
	}
}

// ended stores the call c, ended and without audio.
func ended(t *testing.T, s *store.Store) {
	t.Helper()
	record(t, s, "c", 0)
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
}

// tombstone checks that parts that had begun when their call was erased are not stored again, and later ones are.
func tombstone(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	ended(t, s)
	if is, err := s.Erased(ctx, began(0).PartKey); err != nil || is {
		t.Error("before the erasure:", is, err)
	}
	must(t, s.Erase(ctx, asked("me")))
	for _, after := range []time.Duration{-time.Hour, 0} {
		if err := begin(t, s, began(after)); !errors.Is(err, store.ErrErased) {
			t.Errorf("a part that began %v after the erasure: %v", after, err)
		}
		if is, err := s.Erased(ctx, began(after).PartKey); err != nil || !is {
			t.Error(after, is, err)
		}
	}
	if _, err := s.Call(ctx, "c"); !errors.Is(err, store.ErrNotFound) {
		t.Error("the erased call is back:", err)
	}
	must(t, begin(t, s, began(time.Millisecond)))
	if is, err := s.Erased(ctx, began(time.Millisecond).PartKey); err != nil || is {
		t.Error("a later call:", is, err)
	}
	// The later call is erased too. Neither an earlier nor a later part of before comes back, and a clock that was set back
	// does not move the tombstone.
	end(t, s, store.Part{PartKey: began(time.Millisecond).PartKey, EndedAt: now})
	later := asked("me")
	later.At = now.Add(time.Hour)
	must(t, s.Erase(ctx, later))
	must(t, begin(t, s, began(2*time.Hour)))
	end(t, s, store.Part{PartKey: began(2 * time.Hour).PartKey, EndedAt: now})
	must(t, s.Erase(ctx, asked("me")))
	if err := begin(t, s, began(time.Hour)); !errors.Is(err, store.ErrErased) {
		t.Error("after a second erasure:", err)
	}
}

// erasureRace erases a call while parts of it arrive: whatever comes first, nothing of before the erasure is left.
func erasureRace(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	for round := range 20 {
		e := store.Erasure{Call: fmt.Sprint("c", round), Who: "me", Why: "asked", At: now}
		part := func(after time.Duration) store.Part {
			p := began(after)
			p.Call, p.EndedAt = e.Call, now
			return p
		}
		must(t, begin(t, s, part(0)))
		end(t, s, part(0))
		arrived := make(chan error, 4)
		for i := range cap(arrived) {
			p := part(-time.Duration(i+1) * time.Millisecond)
			go func() {
				arrived <- s.InTx(ctx, func(tx *store.Tx) error {
					c, err := tx.Begin(ctx, p)
					if err != nil {
						return err
					}
					return tx.Progress(ctx, &c, p)
				})
			}()
		}
		must(t, s.Erase(ctx, e))
		for range cap(arrived) {
			if err := <-arrived; err != nil && !errors.Is(err, store.ErrErased) && !errors.Is(err, store.ErrNotFound) {
				t.Fatal(err)
			}
		}
		if _, err := s.Call(ctx, e.Call); !errors.Is(err, store.ErrNotFound) {
			t.Fatal("the erased call is back:", err)
		}
	}
}

// moved checks that tombstones are exported and imported, and made from the audit of an older export.
func moved(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	must(t, settle(ctx, s, "c", "c-0", 0.1))
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	adopt(t, s, 1, "", "gone", "c-0")
	e := asked("me")
	e.Unreached = []string{"gone"}
	must(t, s.Erase(ctx, e))
	for _, old := range []bool{false, true} {
		into, err := store.Open(ctx, store.Options{Dir: t.TempDir(), Owner: true})
		must(t, err)
		defer func() { must(t, into.Close()) }()
		_, err = into.Import(ctx, func(i *store.Importer) error {
			return s.Export(ctx, func(table string, row map[string]any) error {
				if old && (table == "erased" || table == "erased_audio") {
					return nil
				}
				return i.Add(ctx, table, row)
			})
		})
		must(t, err)
		if is, err := into.Erased(ctx, began(0).PartKey); err != nil || !is {
			t.Error("old export:", old, is, err)
		}
		if list, err := into.ErasedAudioOf(ctx, nil, "", 10); err != nil || len(list) != 1 && !old {
			t.Error(list, err)
		}
	}
}

// unreached checks the erasure of a call whose audio is on a node that is gone.
func unreached(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	for _, id := range []string{"c-0", "c-1"} {
		must(t, settle(ctx, s, "c", id, 0.1))
	}
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	adopt(t, s, 1, "", "gone", "c-0")
	e := asked("me")
	e.Unreached = []string{"gone", "another"}
	if err := s.Erase(ctx, e); !errors.Is(err, store.ErrConflict) {
		t.Fatal("with audio that can be reached:", err)
	}
	if list, err := s.ErasedAudioOf(ctx, nil, "", 10); err != nil || len(list) != 0 {
		t.Fatal("a refused erasure left", list, err)
	}
	g, err := s.Segment(ctx, "c-1")
	must(t, err)
	must(t, s.AudioDeleted(ctx, "c", []store.SegmentRow{g}, now))
	must(t, s.Erase(ctx, e))
	lines, err := s.AuditOf(ctx, "c")
	must(t, err)
	if text, _ := json.Marshal(lines[len(lines)-1].Detail); string(text) != `{"unreached":["gone"],"why":"asked"}` {
		t.Errorf("%s", text)
	}
	list, err := s.ErasedAudioOf(ctx, []string{"gone"}, "", 10)
	if err != nil || !slices.Equal(list, []store.ErasedAudio{{Segment: "c-0", Call: "c", Node: "gone", Key: "k"}}) {
		t.Fatal(list, err)
	}
	if other, err := s.ErasedAudioOf(ctx, []string{"another"}, "", 10); err != nil || len(other) != 0 {
		t.Error(other, err)
	}
	for range 2 {
		must(t, s.ErasedAudioDeleted(ctx, list[0], now))
	}
	if list, err := s.ErasedAudioOf(ctx, nil, "", 10); err != nil || len(list) != 0 || audited(t, s, "c", store.AuditExpired) != 2 {
		t.Error(list, err, audited(t, s, "c", store.AuditExpired))
	}
}

// erasedJobs checks that the jobs of the queue are erased with their segments.
func erasedJobs(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	must(t, settle(ctx, s, "c", "c-0", 0.1))
	end(t, s, store.Part{PartKey: key("c"), EndedAt: now})
	g, err := s.Segment(ctx, "c-0")
	must(t, err)
	must(t, s.AudioDeleted(ctx, "c", []store.SegmentRow{g}, now))
	if n := jobs(t, s, "default"); n != 1 {
		t.Fatal(n, "jobs")
	}
	must(t, s.Erase(ctx, asked("me")))
	if n := jobs(t, s, "default"); n != 0 {
		t.Error(n, "jobs are left")
	}
}
