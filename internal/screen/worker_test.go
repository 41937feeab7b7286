package screen_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// untilStopped is a poll of a job that never finishes.
func untilStopped(ctx context.Context, job string, _ int) (analyzer.Result, error) {
	<-ctx.Done()
	return analyzer.Result{}, &analyzer.Error{Op: "poll", Kind: analyzer.KindCanceled, JobID: job, Err: context.Cause(ctx)}
}

// The job id of an upload is stored at once. After a restart the next process polls the job and does not submit again.
func TestAJobIsAskedAboutAgainAfterARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNode(t, options{dir: dir})
	n.call("a", 2)
	asked := make(chan string, 10)
	n.api.told(nil, func(ctx context.Context, job string, k int) (analyzer.Result, error) {
		asked <- job
		return untilStopped(ctx, job, k)
	})
	stop := n.work(nil)
	for range 2 {
		job := <-asked
		if !slices.ContainsFunc(n.report("a").Segments, func(s report.SegmentReport) bool { return s.JobID == job && s.State == "submitted" }) {
			t.Errorf("job %s is polled, but not stored: %+v", job, n.report("a").Segments)
		}
	}
	stop()
	if r := n.report("a"); r.Final || states(r) != "caller0 submitted, caller1 submitted" {
		t.Errorf("%s %+v", states(r), r)
	}
	if err := n.store.Close(); err != nil {
		t.Fatal(err)
	}
	again := newNode(t, options{dir: dir})
	again.work(nil)
	r := again.final("a")
	if len(n.api.uploaded()) != 2 || len(again.api.uploaded()) != 0 {
		t.Errorf("%d uploads before, %d after", len(n.api.uploaded()), len(again.api.uploaded()))
	}
	if states(r) != "caller0 scored, caller1 scored" || r.Decision != "clear" || again.log.Errors() != 0 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// doubtful returns an API whose first uploads end with an unknown outcome.
func doubtful(uploads int) func(context.Context, int) (analyzer.Job, error) {
	return func(_ context.Context, n int) (analyzer.Job, error) {
		if n <= uploads {
			return analyzer.Job{}, fault("submit", analyzer.KindInDoubt, true)
		}
		return job(n), nil
	}
}

// An upload whose outcome is unknown is sent again once, with an audit line. If the configuration forbids it, the upload is
// not sent again.
func TestAnUploadInDoubt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doubts  int
		resend  bool
		uploads int
		audited int
		want    string
	}{
		"is made once more":         {1, true, 2, 1, "caller0 scored"},
		"is made once more at most": {5, true, 2, 1, "caller0 recorded/in_doubt"},
		"is not made again":         {1, false, 1, 0, "caller0 recorded/in_doubt"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(doubtful(c.doubts), nil)
			n.work(func(w *screen.WorkerConfig) { w.ResendInDoubt = c.resend })
			r := n.final("a")
			if states(r) != c.want || len(n.api.uploaded()) != c.uploads || n.audited("a", store.AuditResent) != c.audited ||
				r.Segments[0].Resent != (c.audited > 0) {
				t.Errorf("%s after %d uploads, %d audited, %+v", states(r), len(n.api.uploaded()), n.audited("a", store.AuditResent), r.Segments)
			}
			if clear := r.Decision == "clear"; clear != strings.HasSuffix(c.want, "scored") {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The outcome of an upload is unknown if the process ends during it. It is known if the process ends before.
func TestAnUploadThatIsCutOffByTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind    analyzer.Kind
		audited int
	}{
		"after it was sent":  {analyzer.KindInDoubt, 1},
		"before it was sent": {analyzer.KindNetwork, 0},
		"by who knows what":  {analyzer.KindCanceled, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			sending := make(chan struct{}, 1)
			n.api.told(func(ctx context.Context, _ int) (analyzer.Job, error) {
				sending <- struct{}{}
				<-ctx.Done()
				return analyzer.Job{}, fault("submit", c.kind, true)
			}, nil)
			stop := n.work(nil)
			<-sending
			stop()
			n.api.told(nil, nil)
			n.work(nil)
			r := n.final("a")
			if states(r) != "caller0 scored" || n.audited("a", store.AuditResent) != c.audited || len(n.api.uploaded()) != 2 {
				t.Errorf("%s, %d audited, %d uploads", states(r), n.audited("a", store.AuditResent), len(n.api.uploaded()))
			}
		})
	}
}

// A job that is unfinished at a poll is polled again until the deadline.
func TestAJobMayTakeItsTime(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	n.api.told(nil, func(_ context.Context, job string, k int) (analyzer.Result, error) {
		if k < 4 {
			return analyzer.Result{}, fault("poll", analyzer.KindTimeout, false)
		}
		return scored(job, 0.9), nil
	})
	n.work(nil)
	if r := n.final("a"); states(r) != "caller0 scored" || r.Decision != "flagged" || len(n.api.uploaded()) != 1 || n.api.asked("job-1") != 4 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// If a job fails and the audio may be the reason, a cleaned copy of the audio is submitted once. The same holds for a job that
// fails in the response to the upload.
func TestACleanerCopyIsTried(t *testing.T) {
	t.Parallel()
	failed := analyzer.Job{Status: analyzer.StatusFailed, ErrorCode: "Unknown"}
	named := failed
	named.ID = "job-1"
	for name, first := range map[string]analyzer.Job{"asked about": job(1), "failed at once": named, "failed at once without a name": failed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
				if k == 1 {
					return first, nil
				}
				return job(k), nil
			}, func(_ context.Context, job string, _ int) (analyzer.Result, error) {
				if job == "job-1" {
					return analyzer.Result{}, fault("poll", analyzer.KindJobFailed, false)
				}
				return scored(job, 0.2), nil
			})
			n.work(nil)
			r := n.final("a")
			up := n.api.uploaded()
			if states(r) != "caller0 scored" || len(up) != 2 || up[0] == up[1] || !r.Segments[0].Cleaned || r.Segments[0].JobID != "job-2" ||
				n.audited("a", store.AuditCleaned) != 1 {
				t.Errorf("%s %+v %v", states(r), r.Segments, up)
			}
		})
	}
}

// The cleaned copy has no name on the disk, so that it does not stay there if the program is killed during the upload.
func TestACleanerCopyLeavesNothingBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	n := newNode(t, options{})
	n.call("a", 1)
	n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
		if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
			t.Errorf("during upload %d: %v %v", k, left, err)
		}
		return job(k), nil
	}, func(_ context.Context, job string, _ int) (analyzer.Result, error) {
		return analyzer.Result{}, fault("poll", analyzer.KindJobFailed, false)
	})
	n.work(nil)
	if r := n.final("a"); states(r) != "caller0 failed/job_failed" || len(n.api.uploaded()) != 2 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// A job that is finished in the response to the upload is not polled.
func TestAJobThatIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"job-1", ""} {
		n := newNode(t, options{})
		n.call("a", 1)
		n.api.told(func(context.Context, int) (analyzer.Job, error) {
			return analyzer.Job{
				ID:        id,
				Status:    analyzer.StatusCompleted,
				Score:     0.97,
				Verdict:   "deepfake_likely",
				Simulated: true,
			}, nil
		}, nil)
		n.work(nil)
		if r := n.final("a"); states(r) != "caller0 scored" || r.Decision != "flagged" || !r.Simulated || r.Segments[0].JobID != id ||
			n.api.asked(id) != 0 {
			t.Errorf("%s %+v", states(r), r)
		}
	}
}

// A call that is erased during its analysis stays erased, and the worker logs no error.
func TestACallThatIsErasedWhileItIsAnalysed(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]bool{"sent": false, "asked about": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			at, proceed := make(chan struct{}), make(chan struct{})
			block := func() { at <- struct{}{}; <-proceed }
			n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
				if !asked {
					block()
				}
				return job(k), nil
			}, func(_ context.Context, job string, _ int) (analyzer.Result, error) {
				if asked {
					block()
				}
				return scored(job, 0.9), nil
			})
			stop := n.work(nil)
			<-at
			e := n.idle()
			if err := e.Erase(t.Context(), "a", "me", "asked to"); !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), "(hint: ") {
				t.Errorf("erase during the analysis: %v", err)
			}
			// Another node, which considers this one dead, settles the segment first.
			g, err := n.store.Segment(t.Context(), n.report("a").Segments[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			if err := n.desk.Settle(t.Context(), g, store.Settlement{
				State:  store.SegmentFailed,
				Reason: "timeout",
				At:     time.Now(),
			}, nil); err != nil {
				t.Fatal(err)
			}
			if err := e.Erase(t.Context(), "a", "me", "asked to"); err != nil {
				t.Fatal(err)
			}
			close(proceed)
			time.Sleep(200 * time.Millisecond) // time for the worker to restore the call, which would be an error
			stop()
			if _, err := n.store.Call(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
				t.Error("the erased call exists again")
			}
			if log := n.log.String(); n.log.Errors() != 0 || strings.Contains(log, "level=WARN") ||
				n.count("SELECT count(*) FROM river_job WHERE state <> 'completed'") != 0 {
				t.Errorf("the job of the queue is not completed, or errors were logged\n%s", log)
			}
		})
	}
}

// Of two uploads of one segment, the first that is stored counts. The other is audited as surplus and not polled.
func TestASurplusJob(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	id := n.report("a").Segments[0].ID
	n.api.told(func(ctx context.Context, k int) (analyzer.Job, error) {
		// Another node takes over while this one is frozen for a minute during the upload.
		if _, doubt, err := n.store.BeginSubmit(ctx, id, "n2", time.Now().Add(time.Minute), true); err != nil || doubt != store.Resend {
			t.Error(doubt, err)
		}
		if got, err := n.store.SaveJob(ctx, id, "job-of-n2", "n2", time.Now()); err != nil || got != store.JobSaved {
			t.Error(got, err)
		}
		return job(k), nil
	}, nil)
	n.work(nil)
	r := n.final("a")
	if r.Segments[0].JobID != "job-of-n2" || n.api.asked("job-of-n2") != 1 || n.api.asked("job-1") != 0 ||
		n.audited("a", store.AuditSurplus) != 1 ||
		n.audited("a", store.AuditScored) != 1 {
		t.Errorf("%+v, %d surplus", r.Segments, n.audited("a", store.AuditSurplus))
	}
}

// A job that became due again during its run does nothing: the end of a run of before a take-over makes it due.
func TestASegmentHasOneRun(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("before", 1) // the API is sound then
	n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
		if k == 2 {
			n.raw("UPDATE river_job SET state = 'available' WHERE state = 'running'")
			time.Sleep(time.Second) // the queue looks every 100 ms
		}
		return job(k), nil
	}, nil)
	n.work(nil)
	n.final("before")
	n.call("a", 1)
	if r := n.final("a"); r.Decision != "clear" || len(n.api.uploaded()) != 2 || n.audited("a", store.AuditResent) != 0 {
		t.Errorf("%s, %d uploads", states(r), len(n.api.uploaded()))
	}
}

// The job queue only triggers work. The pending work is in the tables of the store, and a sweep finds it without the queue.
func TestAllJobsOfTheQueueAreLost(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 5)
	n.raw("DELETE FROM river_job")
	n.work(nil) // its first sweep runs at once
	if r := n.final("a"); strings.Count(states(r), "scored") != 5 || len(n.api.uploaded()) != 5 {
		t.Errorf("%s, %d uploads", states(r), len(n.api.uploaded()))
	}
}

// A call is ended if its process lost all state about it, or if its node now has another name.
func TestCallsThatNobodyRecordsAnyMoreAreEnded(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	other := n.part("imported", 0)
	other.Node = "another"
	for _, p := range []store.Part{n.part("live", 0), n.part("own", 0), other} { // checked in this order
		if err := n.desk.Progress(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	live := n.part("live", 0)
	if err := n.courier.Progress(live); err != nil { // it is in the spool: this process is responsible for it
		t.Fatal(err)
	}
	n.work(nil)
	for _, call := range []string{"own", "imported"} {
		if r := n.final(call); r.Decision != "inconclusive" || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "interrupted") {
			t.Errorf("%s: %+v", call, r)
		}
	}
	if r := n.report("live"); r.State != "live" {
		t.Errorf("%+v", r)
	}
}

// The submission interval holds over all workers of a node. A worker whose turn is too far away postpones its job.
func TestSubmissionsKeepTheirDistance(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 6)
	n.work(func(w *screen.WorkerConfig) { w.Interval = time.Hour })
	n.await("one is analysed", func() bool { return strings.Contains(states(n.report("a")), "scored") })
	time.Sleep(300 * time.Millisecond) // time for an early submission, which would be an error
	if r := n.report("a"); strings.Count(states(r), "recorded") != 5 || len(n.api.uploaded()) != 1 {
		t.Errorf("%s, %d uploads", states(r), len(n.api.uploaded()))
	}
}
