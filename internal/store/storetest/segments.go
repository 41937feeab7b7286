package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"callscreen/internal/store"
)

func segmentOnce(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	want := segment("c", 0)
	other := segment("c", 0)
	other.ID = "another id of the same place"
	for _, g := range []store.SegmentRow{want, other} {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			if added, err := tx.AddSegment(ctx, g); added || err != nil {
				t.Errorf("%s: %v %v", g.ID, added, err)
			}
			return nil
		}))
	}
	g, err := s.Segment(ctx, want.ID)
	must(t, err)
	if g.Voiced[0] != want.Voiced[0] || g.Offset != want.Offset || g.Speech != want.Speech || !g.RecordedAt.Equal(now) || g.AudioKey != "k" ||
		g.Settled() {
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
	if got, err := s.SaveJob(ctx, "c-0", "job", "n1", now); got != store.JobSaved || err != nil {
		t.Fatal(got, err)
	}
	if g, _ = s.Segment(ctx, "c-0"); g.State != store.SegmentSubmitted || g.JobID != "job" || !g.SubmitStarted.IsZero() ||
		!g.SubmittedAt.Equal(now) {
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

func doubt(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 2)
	for i, want := range []store.Doubt{store.NoDoubt, store.Resend, store.Hold, store.Hold} {
		if _, d, err := s.BeginSubmit(ctx, "c-0", "n1", now, true); err != nil || d != want {
			t.Errorf("attempt %d: %v %v", i, d, err)
		}
	}
	if n := audited(t, s, "c", store.AuditResent); n != 1 {
		t.Errorf("%d lines about one resend", n)
	}
	record(t, s, "elsewhere", 1)
	for _, c := range []struct {
		node string
		at   time.Duration
		want store.Doubt
	}{
		{"n1", 0, store.NoDoubt},
		{"n2", time.Second, store.UnderWay},
		{"n2", 24 * time.Second, store.UnderWay},
		{"n2", 25 * time.Second, store.Resend},
		{"n1", 26 * time.Second, store.UnderWay},
		{"n2", 26 * time.Second, store.Hold}, // its process knows that it ended
	} {
		if _, d, err := s.BeginSubmit(ctx, "elsewhere-0", c.node, now.Add(c.at), true); err != nil || d != c.want {
			t.Errorf("%s after %v: %v %v, want %v", c.node, c.at, d, err, c.want)
		}
	}
	for i, want := range []store.Doubt{store.NoDoubt, store.Hold} {
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
		want  store.Saved
		lines int
	}{{"first", store.JobSaved, 0}, {"first", store.JobSaved, 0}, {"second", store.JobSurplus, 1}} {
		if got, err := s.SaveJob(ctx, "c-0", c.job, "n", now); got != c.want || err != nil || audited(t, s, "c", store.AuditSurplus) != c.lines {
			t.Errorf("%s: %v %v", c.job, got, err)
		}
	}
	if g, _ := s.Segment(ctx, "c-0"); g.JobID != "first" {
		t.Errorf("%+v", g)
	}
}

// sharedJob has one job given to several recordings.
func sharedJob(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	record(t, s, "equal", 1)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		for i, id := range []string{"other", "third"} {
			g := segment("c", i+1)
			g.ID, g.AudioSHA256 = id, id
			if _, err := tx.AddSegment(ctx, g); err != nil {
				return err
			}
		}
		return nil
	}))
	begin := func(id string, want store.Doubt) {
		t.Helper()
		if _, d, err := s.BeginSubmit(ctx, id, "n1", now, true); err != nil || d != want {
			t.Errorf("%s: %v %v", id, d, err)
		}
	}
	save := func(id string, want store.Saved) {
		t.Helper()
		if got, err := s.SaveJob(ctx, id, "job", "n1", now); got != want || err != nil {
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	begin("c-0", store.NoDoubt)
	begin("equal-0", store.NoDoubt)
	save("c-0", store.JobSaved)
	save("equal-0", store.JobSaved) // of the same audio
	begin("other", store.NoDoubt)
	save("other", store.JobShared)
	for id, call := range map[string]string{"c-0": "c", "equal-0": "equal", "other": "c"} {
		if g, err := s.Segment(ctx, id); err != nil || g.JobID != "" || g.State != store.SegmentRecorded || g.SubmitStarted.IsZero() {
			t.Errorf("%+v %v", g, err)
		}
		if audited(t, s, call, store.AuditShared) == 0 {
			t.Errorf("%s is not audited", id)
		}
		begin(id, store.Resend)
	}
	stale := s.InTx(ctx, func(tx *store.Tx) error {
		return tx.Settle(ctx, "c-0", store.Settlement{State: store.SegmentScored, At: now, Job: "job"})
	})
	if !errors.Is(stale, store.ErrOtherJob) {
		t.Errorf("the result of the shared job: %v", stale)
	}
	save("c-0", store.JobShared) // still that of none
	if got, err := s.SaveJob(ctx, "c-0", "own", "n1", now); got != store.JobSaved || err != nil {
		t.Error(got, err)
	}
	must(t, settle(ctx, s, "c", "c-0", 0.5))
	if got, err := s.SaveJob(ctx, "third", "own", "n1", now); got != store.JobShared || err != nil {
		t.Error(got, err)
	}
	if g, err := s.Segment(ctx, "c-0"); err != nil || g.State != store.SegmentScored { // its result is older than the upload of the third
		t.Errorf("%+v %v", g, err)
	}
}

func settle(ctx context.Context, s *store.Store, call, id string, score float64) error {
	return s.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.LockCall(ctx, call); err != nil {
			return err
		}
		if err := tx.Settle(ctx, id, store.Settlement{
			State:     store.SegmentScored,
			Score:     &score,
			Verdict:   "v",
			Simulated: true,
			At:        now,
		}); err != nil {
			return err
		}
		return tx.Audit(ctx, store.Line{
			At:      now,
			Actor:   "machine",
			What:    store.AuditScored,
			Call:    call,
			Segment: id,
			Detail:  store.Detail{"score": score},
		})
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
	if got, err := s.SaveJob(ctx, "c-0", "late", "n", now); got == store.JobSaved || err != nil {
		t.Error(got, err)
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
		_, err := tx.AddMessage(ctx, store.Message{
			ID:        "m",
			Event:     "e",
			Call:      "c",
			CreatedAt: now,
			Body:      "{}",
		}, []string{"e"})
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
		if d := time.Duration(i)*time.Hour - w; d.Abs() > time.Minute { // answers can arrive out of order
			t.Errorf("number %d waits %v", i, w)
		}
	}
}

// held makes a segment wait for a person: it is in no count of the backlog, and a job that turns up late ends the waiting.
func held(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	hold := func() (ok bool) {
		must(t, s.InTx(ctx, func(tx *store.Tx) error {
			g, err := s.Segment(ctx, "c-0")
			if err == nil {
				ok, err = tx.Hold(ctx, g, "why", now)
			}
			return err
		}))
		return ok
	}
	if _, d, err := s.BeginSubmit(ctx, "c-0", "n1", now, false); err != nil || d != store.NoDoubt {
		t.Fatal(d, err)
	}
	if fresh, err := s.Fresh(ctx, "n1", now); err != nil || fresh {
		t.Errorf("an upload of unknown outcome counts as fresh: %v", err)
	}
	if !hold() || hold() || audited(t, s, "c", store.AuditHeld) != 1 {
		t.Error("not held once")
	}
	if b, err := s.Backlog(ctx); err != nil || b.Held != 1 || b.Recorded != 0 || b.Submitted != 0 || !b.Oldest.IsZero() {
		t.Errorf("%+v %v", b, err)
	}
	g, err := s.Segment(ctx, "c-0")
	if err != nil || !g.Held() || g.Busy() || g.Settled() || g.Detail != "why" {
		t.Errorf("%+v %v", g, err)
	}
	if got, err := s.SaveJob(ctx, "c-0", "job", "n1", now); got != store.JobSaved || err != nil {
		t.Fatal(got, err)
	}
	if g, err = s.Segment(ctx, "c-0"); err != nil || g.Held() || g.Reason != "" || g.Detail != "" || hold() {
		t.Errorf("%+v %v", g, err)
	}
}

// polled keeps for how long the API has answered about a job.
func polled(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 1)
	if fresh, err := s.Fresh(ctx, "n1", now); err != nil || !fresh {
		t.Errorf("no fresh segment: %v", err)
	}
	if got, err := s.SaveJob(ctx, "c-0", "job", "n1", now); got != store.JobSaved || err != nil {
		t.Fatal(got, err)
	}
	g := store.SegmentRow{ID: "c-0", JobID: "another", Answered: time.Minute, Odd: time.Second}
	for _, c := range []struct {
		job  string
		want time.Duration
	}{{"another", 0}, {"job", time.Minute}} {
		g.JobID = c.job
		must(t, s.Polled(ctx, g))
		if got, err := s.Segment(ctx, "c-0"); err != nil || got.Answered != c.want || got.Odd != c.want/60 {
			t.Errorf("%+v %v", got, err)
		}
	}
	if done, err := s.AgainCleaned(ctx, "c-0", "job", now); !done || err != nil {
		t.Fatal(done, err)
	}
	if got, err := s.Segment(ctx, "c-0"); err != nil || got.Answered != 0 || got.Odd != 0 {
		t.Errorf("%+v %v", got, err)
	}
}

// queueOrder puts the jobs of submitted segments first, and the submissions of calls that ended some time ago last.
func queueOrder(t *testing.T, s *store.Store) {
	ctx := ctxOf(t)
	record(t, s, "c", 3)
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		return errors.Join(tx.Wake(ctx, "c-0", ""), tx.Wake(ctx, "c-1", ""), tx.Wake(ctx, "c-2", ""))
	}))
	if got, err := s.SaveJob(ctx, "c-1", "job", "n1", now); got != store.JobSaved || err != nil {
		t.Fatal(got, err)
	}
	c, err := s.Call(ctx, "c")
	must(t, err)
	if n, err := s.LiveFirst(ctx, now.Add(time.Hour)); err != nil || n != 0 {
		t.Errorf("%d submissions of a live call are put back: %v", n, err)
	}
	must(t, s.InTx(ctx, func(tx *store.Tx) error {
		return tx.Progress(ctx, &c, store.Part{PartKey: key("c"), EndedAt: now})
	}))
	for i, want := range []int64{0, 2, 0} {
		if n, err := s.LiveFirst(ctx, now.Add(time.Duration(i)*time.Second)); err != nil || n != want {
			t.Errorf("%d submissions put back, want %d: %v", n, want, err)
		}
	}
}
