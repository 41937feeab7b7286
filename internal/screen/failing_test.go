package screen_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// A refused API key fails no segment. Once the key is accepted, all segments are analysed.
func TestARefusedKeyKeepsSegments(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 3)
	var refused atomic.Int64
	enough := make(chan struct{})
	refuse := func(op string) error {
		if refused.Add(1) == 8 {
			close(enough)
		}
		return fault(op, analyzer.KindUnauthorized, false)
	}
	n.api.told(func(context.Context, int) (analyzer.Job, error) { return analyzer.Job{}, refuse("submit") }, nil)
	n.work(nil)
	<-enough
	if r := n.report("a"); states(r) != "caller0 recorded, caller1 recorded, caller2 recorded" || r.Final || r.Decision != "inconclusive" {
		t.Errorf("%s %+v", states(r), r)
	}
	// Submissions accept the key again, and the first poll of the job refuses it.
	n.api.told(nil, func(_ context.Context, job string, k int) (analyzer.Result, error) {
		if k == 1 {
			return analyzer.Result{}, fault("poll", analyzer.KindUnauthorized, false)
		}
		return scored(job, 0.1), nil
	})
	r := n.final("a")
	if states(r) != "caller0 scored, caller1 scored, caller2 scored" || r.Decision != "clear" || n.audited("a", store.AuditResent) != 0 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// A segment fails after MaxAge if the API key stays refused, so that its audio is not kept without limit.
func TestAKeyThatStaysRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	asked := make(chan struct{}, 1000)
	n.api.told(nil, func(context.Context, string, int) (analyzer.Result, error) {
		asked <- struct{}{}
		return analyzer.Result{}, fault("poll", analyzer.KindUnauthorized, false)
	})
	n.work(nil)
	<-asked
	<-asked
	if r := n.report("a"); states(r) != "caller0 submitted" {
		t.Error(states(r))
	}
	n.clock.advance(2 * time.Hour) // longer than MaxAge
	if r := n.final("a"); states(r) != "caller0 failed/unauthorized" || r.Decision != "inconclusive" || len(n.api.uploaded()) != 1 {
		t.Errorf("%s %+v", states(r), r)
	}
}

// Submissions are suspended after several failures in a row. Nothing is sent in the meantime.
func TestAnAPIThatFailsIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, kind := range []analyzer.Kind{analyzer.KindUnavailable, analyzer.KindNetwork} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 20)
			n.api.told(func(context.Context, int) (analyzer.Job, error) { return analyzer.Job{}, fault("submit", kind, true) }, nil)
			stop := n.work(func(w *screen.WorkerConfig) { w.Rest = time.Hour })
			n.await("submissions are suspended", func() bool { return strings.Contains(n.log.String(), "submissions suspended") })
			time.Sleep(300 * time.Millisecond) // without the suspension, more requests would follow within this time
			// Five failures in a row, and at most three more requests that were in flight then: four at a time.
			if sent := len(n.api.uploaded()); sent < 5 || sent > 8 {
				t.Errorf("%d requests", sent)
			}
			stop()
			if r := n.report("a"); strings.Count(states(r), "recorded") != 20 {
				t.Error(states(r))
			}
		})
	}
}

// After a suspension only one request at a time probes whether the API has recovered.
func TestAnAPIThatComesBack(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 12)
	var mu sync.Mutex
	atOnce, most, probes := 0, 0, 0
	n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
		mu.Lock()
		defer mu.Unlock()
		if k <= 8 { // the largest number of requests before the suspension
			return analyzer.Job{}, fault("submit", analyzer.KindUnavailable, true)
		}
		if probes++; probes <= 3 {
			atOnce++
			most = max(most, atOnce)
			mu.Unlock()
			time.Sleep(50 * time.Millisecond) // time for a second probe to arrive, which would be an error
			mu.Lock()
			atOnce--
			return analyzer.Job{}, fault("submit", analyzer.KindUnavailable, true)
		}
		return job(k), nil
	}, nil)
	n.work(nil)
	r := n.final("a")
	if strings.Count(states(r), "scored") != 12 || r.Decision != "clear" {
		t.Errorf("%s", states(r))
	}
	mu.Lock()
	defer mu.Unlock()
	if most != 1 {
		t.Errorf("%d probes at the same time, want 1", most)
	}
	if sent := len(n.api.uploaded()); sent > 8+3+12 {
		t.Errorf("%d requests", sent)
	}
	if log := n.log.String(); strings.Count(log, "API recovered") != 1 || strings.Count(log, "submissions suspended") != 1 ||
		n.audited("a", store.AuditResent) != 0 {
		t.Error(log)
	}
}

// A segment whose analysis fails is settled as failed with a reason, and its call is inconclusive.
func TestSegmentsThatFail(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		submit  func(context.Context, int) (analyzer.Job, error)
		wait    func(context.Context, string, int) (analyzer.Result, error)
		change  func(*screen.WorkerConfig)
		age     time.Duration // of the segment before the first attempt; -1: its audio is deleted
		want    string
		uploads int
	}{
		"the API does not take it": {
			submit: func(context.Context, int) (analyzer.Job, error) {
				return analyzer.Job{}, fault("submit", analyzer.KindRejected, false)
			}, want: "rejected", uploads: 1,
		},
		"it is too large": {
			submit: func(context.Context, int) (analyzer.Job, error) {
				return analyzer.Job{}, fault("submit", analyzer.KindTooLarge, false)
			}, want: "too_large", uploads: 1,
		},
		"the job is unknown": {
			wait: func(context.Context, string, int) (analyzer.Result, error) {
				return analyzer.Result{}, fault("poll", analyzer.KindJobNotFound, false)
			}, want: "job_not_found", uploads: 1,
		},
		"the score makes no sense": {
			wait: func(context.Context, string, int) (analyzer.Result, error) {
				return analyzer.Result{}, fault("poll", analyzer.KindInvalidScore, false)
			}, want: "invalid_score", uploads: 1,
		},
		"the job is not done in time": {
			wait: func(context.Context, string, int) (analyzer.Result, error) {
				return analyzer.Result{}, fault("poll", analyzer.KindTimeout, false)
			}, change: func(w *screen.WorkerConfig) { w.Deadline = -time.Second }, want: "timeout", uploads: 1,
		},
		"it was never sent in time": {age: 2 * time.Hour, want: "timeout", uploads: 0},
		"its audio is gone": {
			age: -1, change: func(w *screen.WorkerConfig) { w.MaxAge = 3 * time.Hour }, want: "storage", uploads: 0,
		},
		"the job fails, also with cleaner audio": {
			wait: func(context.Context, string, int) (analyzer.Result, error) {
				return analyzer.Result{}, fault("poll", analyzer.KindJobFailed, false)
			}, want: "job_failed", uploads: 2,
		},
		"the job fails, and no cleaner audio is to be sent": {
			wait: func(context.Context, string, int) (analyzer.Result, error) {
				return analyzer.Result{}, fault("poll", analyzer.KindJobFailed, false)
			}, change: func(w *screen.WorkerConfig) { w.RetryCleaned = false }, want: "job_failed", uploads: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(c.submit, c.wait)
			if c.age < 0 {
				id := n.report("a").Segments[0].ID
				if err := n.audio.Delete(t.Context(), id[9:11]+"/"+id+".wav"); err != nil {
					t.Fatal(err)
				}
				n.clock.advance(2 * time.Hour) // until then it is looked for
			} else {
				n.clock.advance(c.age)
			}
			stop := n.work(c.change)
			if c.age < 0 {
				n.await("the audio is missed", func() bool { return strings.Contains(n.log.String(), "segment audio not found") })
				n.clock.advance(10 * time.Minute)
				n.raw("UPDATE river_job SET state = 'available', scheduled_at = '2000-01-01 00:00:00'") // instead of a minute later
			}
			r := n.final("a")
			stop() // all callbacks have returned then
			if states(r) != "caller0 failed/"+c.want || r.Decision != "inconclusive" || !slices.Contains(r.Reasons, c.want) ||
				r.Segments[0].Detail == "" ||
				len(n.api.uploaded()) != c.uploads {
				t.Errorf("%s %+v, %d uploads", states(r), r, len(n.api.uploaded()))
			}
			if n.audited("a", store.AuditFailed) != 1 || n.audited("a", store.AuditDecided) != 1 || n.times(r.Segments[0].ID) != 1 {
				t.Error("the failure was not audited exactly once")
			}
		})
	}
}

// TestWorkerAgainstTheStandIn runs the real client against a simulated API with various failures.
func TestWorkerAgainstTheStandIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script, want string
		uploads      int
	}{
		"it works":                {``, "caller0 scored, caller1 scored", 2},
		"it answers 503 first":    {`rules: [{submit: {status: 503, times: 1}}]`, "caller0 scored, caller1 scored", 2},
		"it answers 429 first":    {`rules: [{submit: {status: 429, retry_after: "1", times: 1}}]`, "caller0 scored, caller1 scored", 2},
		"it answers 400":          {`rules: [{submit: {status: 400}}]`, "caller0 failed/rejected, caller1 failed/rejected", 0},
		"it answers with HTML":    {`rules: [{submit: {body: "<html>"}}]`, "caller0 recorded/in_doubt, caller1 recorded/in_doubt", 0},
		"it drops the connection": {`rules: [{submit: {reset: after, times: 1}}]`, "caller0 scored, caller1 scored", 4},
		"its jobs fail": {
			`rules: [{result: {failed: true, error_code: Unknown}}]`,
			"caller0 failed/job_failed, caller1 failed/job_failed",
			4,
		},
		"its jobs fail first":     {`rules: [{match: {to: 2}, result: {failed: true}}]`, "caller0 scored, caller1 scored", 4},
		"it has no score":         {`rules: [{result: {no_score: true}}]`, "caller0 failed/invalid_score, caller1 failed/invalid_score", 2},
		"its scores are absurd":   {`rules: [{result: {score: 7}}]`, "caller0 failed/invalid_score, caller1 failed/invalid_score", 2},
		"its polls fail first":    {`rules: [{poll: {status: 502, body: "<html>", times: 3}}]`, "caller0 scored, caller1 scored", 2},
		"it is slow":              {`latency: 300ms`, "caller0 scored, caller1 scored", 2},
		"it has unknown statuses": {`rules: [{result: {statuses: [running, "", reticulating]}}]`, "caller0 scored, caller1 scored", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 2)
			client, stand := standIn(t, c.script)
			n.work(func(w *screen.WorkerConfig) { w.API = client })
			r := n.final("a")
			if states(r) != c.want || stand.Stats().Accepted != c.uploads {
				t.Errorf("%s, %d accepted: %+v", states(r), stand.Stats().Accepted, r)
			}
			if clear := r.Decision == "clear"; clear != (strings.Count(c.want, "scored") == 2) {
				t.Errorf("%+v", r)
			}
			if fmt.Sprint(r.Simulated) != fmt.Sprint(strings.Contains(c.want, "scored")) {
				t.Errorf("simulated: %v", r.Simulated)
			}
		})
	}
}
