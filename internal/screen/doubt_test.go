package screen_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// An API that takes uploads and does not answer costs no segment: the one repeat is kept until the API answers.
func TestAnAPIThatHangsLosesNoSegment(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 12)
	n.api.silence(true)
	n.api.told(func(context.Context, int) (analyzer.Job, error) {
		return analyzer.Job{}, fault("submit", analyzer.KindInDoubt, true)
	}, nil)
	n.work(nil)
	n.await("the API is asked again and again", func() bool {
		n.api.mu.Lock()
		defer n.api.mu.Unlock()
		return n.api.probes > 10
	})
	during := len(n.api.uploaded())
	// As many as were in flight at once, and one that began between the first failure and the second, which suspends submissions.
	if during > 5 || n.audited("a", store.AuditResent) != 0 {
		t.Errorf("%d uploads, %d repeated during the outage", during, n.audited("a", store.AuditResent))
	}
	n.api.silence(false)
	n.api.told(nil, nil)
	r := n.final("a")
	if strings.Count(states(r), "scored") != 12 || len(n.api.uploaded()) != 12+during || n.audited("a", store.AuditResent) != during ||
		n.audited("a", store.AuditHeld) != 0 {
		t.Errorf("%s, %d uploads, %d repeated", states(r), len(n.api.uploaded()), n.audited("a", store.AuditResent))
	}
}

// Uploads that end without a definite answer while the API answers polls are repeated after others have shown that submissions
// work again.
func TestOtherSegmentsShowFirstWhetherSubmissionsWork(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	n.call("a", 8)
	n.api.told(doubtful(4), nil)
	n.work(nil)
	r := n.final("a")
	if strings.Count(states(r), "scored") != 8 || len(n.api.uploaded()) != 12 || n.audited("a", store.AuditResent) != 4 {
		t.Errorf("%s, %d uploads, %d repeated", states(r), len(n.api.uploaded()), n.audited("a", store.AuditResent))
	}
}

// An API that gives one job to two recordings says about neither of them what their score is.
func TestAJobOfTwoRecordingsScoresNone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		times  int // uploads with the job
		states string
		scored int
	}{
		"for a while": {2, "caller0 scored, caller1 scored", 2},
		"always":      {1000, "caller0 recorded/in_doubt, caller1 recorded/in_doubt", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 2)
			n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
				if k <= c.times {
					return job(1), nil
				}
				return job(k), nil
			}, func(_ context.Context, id string, _ int) (analyzer.Result, error) {
				if id == "job-1" {
					n.await("both have the job", func() bool { return n.audited("a", store.AuditShared) > 0 })
				}
				return scored(id, 0.01), nil
			})
			n.work(nil)
			r := n.final("a")
			if states(r) != c.states || n.audited("a", store.AuditScored) != c.scored || len(n.api.uploaded()) != 4 ||
				(r.Decision == "clear") != (c.scored == 2) {
				t.Errorf("%s %s, %d uploads", states(r), r.Decision, len(n.api.uploaded()))
			}
		})
	}
}

// A segment whose uploads are all in doubt waits for a person: its call is decided as inconclusive, and the segment is shown
// and counted. It fails at the end of its time.
func TestASegmentInDoubtWaitsForAPerson(t *testing.T) {
	t.Parallel()
	for name, resend := range map[string]bool{"after two uploads": true, "after the only upload": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(doubtful(100), nil)
			stop := n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = resend })
			r := n.final("a")
			if states(r) != "caller0 recorded/in_doubt" || r.Decision != "inconclusive" || !r.Review ||
				!slices.Contains(r.Reasons, "in_doubt") || r.Segments[0].Detail == "" || n.audited("a", store.AuditHeld) != 1 {
				t.Errorf("%s %+v", states(r), r)
			}
			if b, err := n.store.Backlog(t.Context()); err != nil || b.Held != 1 || b.Recorded != 0 || !b.Oldest.IsZero() {
				t.Errorf("%+v %v", b, err)
			}
			stop()
			n.clock.advance(2 * time.Hour) // longer than MaxAge
			n.raw("UPDATE river_job SET scheduled_at = datetime('now', '-1 second'), state = 'available'")
			n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = resend })
			n.await("the segment fails", func() bool { return states(n.report("a")) == "caller0 failed/in_doubt" })
			if b, err := n.store.Backlog(t.Context()); err != nil || b.Held != 0 {
				t.Errorf("%+v %v", b, err)
			}
		})
	}
}

// A node that could not store the id of its job does so after another one has made the segment wait for a person: the job is polled
// at once, and not when the waiting ends. The simulation found it in one of 1,850 worlds.
func TestAJobThatIsStoredLateIsPolled(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	n.api.told(doubtful(1), nil)
	n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = false })
	id := n.final("a").Segments[0].ID
	n.await("its job sleeps", func() bool { return n.count("SELECT count(*) FROM river_job WHERE state = 'scheduled'") == 1 })
	if got, err := n.store.SaveJob(t.Context(), id, "job-1", "n2", n.clock.now()); err != nil || got != store.JobSaved {
		t.Fatal(got, err)
	}
	n.await("it is scored", func() bool { return states(n.report("a")) == "caller0 scored" })
	if len(n.api.uploaded()) != 1 || n.api.asked("job-1") != 1 {
		t.Errorf("%d uploads, asked %d times", len(n.api.uploaded()), n.api.asked("job-1"))
	}
}

// A person can order another upload of a segment that waits, also if uploads of unknown outcome are not repeated.
func TestAPersonOrdersAnotherUpload(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	n.api.told(doubtful(1), nil)
	n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = false })
	id := n.final("a").Segments[0].ID
	if err := n.desk.Resend(t.Context(), "none", "anna"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if err := n.desk.Resend(t.Context(), id, "anna"); err != nil {
		t.Fatal(err)
	}
	n.await("it is scored", func() bool { return states(n.report("a")) == "caller0 scored" })
	if r := n.final("a"); r.Decision != "clear" || len(n.api.uploaded()) != 2 || n.audited("a", store.AuditResendOrdered) != 1 ||
		n.audited("a", store.AuditResent) != 1 || !r.Segments[0].Resent {
		t.Errorf("%+v, %d uploads", r, len(n.api.uploaded()))
	}
	if err := n.desk.Resend(t.Context(), id, "anna"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
}

// A call with a segment that waits for a person can be erased.
func TestACallWithASegmentInDoubtCanBeErased(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	n.api.told(doubtful(100), nil)
	stop := n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = false })
	g := n.final("a").Segments[0]
	stop()
	if err := n.idle().Erase(t.Context(), "a", "me", "asked to"); err != nil {
		t.Error(err)
	}
	if n.audio.has(t, g.ID[9:11]+"/"+g.ID+".wav") {
		t.Error("the audio is still there")
	}
}

// An account without credit keeps segments, as a refused key does.
func TestAnAccountWithoutCreditKeepsSegments(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 3)
	client, _ := standIn(t, `rules: [{submit: {status: 402, times: 1}, poll: {status: 402, times: 1}}]`)
	n.work(func(w *screen.WorkerConfig) { w.API = client })
	r := n.final("a")
	if states(r) != "caller0 scored, caller1 scored, caller2 scored" || n.audited("a", store.AuditResent) != 0 {
		t.Error(states(r))
	}
}

// The fault of the account is known until the API accepts it.
func TestAFaultOfTheAccountIsShown(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	var refused atomic.Bool
	refused.Store(true)
	n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
		if refused.Load() {
			return analyzer.Job{}, fault("submit", analyzer.KindNoCredit, false)
		}
		return job(k), nil
	}, nil)
	n.work(nil)
	w := n.worker
	n.await("the fault is shown", func() bool { return w.AccountFault() == analyzer.KindNoCredit })
	refused.Store(false)
	n.final("a")
	if w.AccountFault() != "" {
		t.Errorf("fault %q", w.AccountFault())
	}
}
