package screen_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/screen"
)

// seen returns the end of a run of polls during which the API answered for some time.
func seen(answered, odd time.Duration, kind analyzer.Kind) (analyzer.Result, error) {
	return analyzer.Result{Answered: answered, Odd: odd, OddKind: kind}, fault("poll", analyzer.KindCanceled, false)
}

// The deadline of a job counts the time in which the API answers. An outage, however long, ends no job before MaxAge.
func TestAnOutageEndsNoJob(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		polls func(n int) (analyzer.Result, error)
		want  string
		asked int
	}{
		"the outage ends": {func(n int) (analyzer.Result, error) {
			if n <= 3 {
				return seen(0, 0, "")
			}
			return scored("job-1", 0.1), nil
		}, "scored", 4},
		"the API answers that the job is unfinished": {func(int) (analyzer.Result, error) {
			return seen(20*time.Second, 0, "")
		}, "failed/timeout", 3},
		"outages and answers": {func(n int) (analyzer.Result, error) {
			return seen(time.Duration(n%2)*30*time.Second, 0, "")
		}, "failed/timeout", 3},
		"the job is unknown for the grace time": {func(int) (analyzer.Result, error) {
			return seen(20*time.Second, 20*time.Second, analyzer.KindJobNotFound)
		}, "failed/job_not_found", 2},
		"the score is missing for the grace time": {func(int) (analyzer.Result, error) {
			return seen(20*time.Second, 20*time.Second, analyzer.KindInvalidScore)
		}, "failed/invalid_score", 2},
		"the job is unknown for a while": {func(n int) (analyzer.Result, error) {
			switch n {
			case 1:
				return seen(20*time.Second, 20*time.Second, analyzer.KindJobNotFound)
			case 2:
				return seen(20*time.Second, 10*time.Second, analyzer.KindJobNotFound)
			}
			return scored("job-1", 0.1), nil
		}, "scored", 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(nil, func(_ context.Context, _ string, k int) (analyzer.Result, error) { return c.polls(k) })
			n.work(func(w *screen.WorkerConfig) { w.Deadline, w.Grace = time.Minute, 30*time.Second })
			if r := n.final("a"); states(r) != "caller0 "+c.want || n.api.asked("job-1") != c.asked || len(n.api.uploaded()) != 1 {
				t.Errorf("%s after %d runs", states(r), n.api.asked("job-1"))
			}
		})
	}
}

// A job about which the API does not answer fails when its segment is older than MaxAge, and is asked about once more before.
func TestAnOutageThatStaysEndsAJobAtMaxAge(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.call("a", 1)
	asked := make(chan struct{}, 1000)
	n.api.told(nil, func(context.Context, string, int) (analyzer.Result, error) {
		asked <- struct{}{}
		return seen(0, 0, "")
	})
	n.work(nil)
	<-asked
	<-asked
	if r := n.report("a"); states(r) != "caller0 submitted" {
		t.Error(states(r))
	}
	n.clock.advance(2 * time.Hour)
	if r := n.final("a"); states(r) != "caller0 failed/timeout" {
		t.Error(states(r))
	}
}

// trace records the order of uploads and polls.
type trace struct {
	mu    sync.Mutex
	steps []string
}

func (t *trace) add(step string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps = append(t.steps, step)
}

func (t *trace) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.steps)
}

// A job that was paid for is polled before the next submission, however many segments wait.
func TestAPaidJobIsPolledBeforeSubmissions(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	n.call("a", 10)
	var order trace
	n.api.told(func(_ context.Context, k int) (analyzer.Job, error) {
		order.add(fmt.Sprintf("submit %d", k))
		return job(k), nil
	}, func(_ context.Context, job string, k int) (analyzer.Result, error) {
		order.add("poll " + job)
		if job == "job-1" && k <= 3 {
			return seen(time.Second, 0, "")
		}
		return scored(job, 0.1), nil
	})
	n.work(nil)
	n.final("a")
	// The queue fetches the next job when the run of one ends, before that is due again: up to two submissions may come in between.
	between, polls := 0, 0
	for _, step := range order.all() {
		switch {
		case step == "poll job-1":
			between = 0
			polls++
		case strings.HasPrefix(step, "submit"):
			if between++; between > 2 && polls < 4 {
				t.Errorf("%d submissions before poll %d of a paid job: %v", between, polls+1, order.all())
			}
		}
	}
	if polls != 4 {
		t.Errorf("%d polls: %v", polls, order.all())
	}
}

// Segments of a call that goes on come before the backlog of calls that have ended.
func TestALiveCallComesBeforeTheBacklog(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	for i := range 5 {
		n.call(fmt.Sprintf("earlier-%d", i), 3)
	}
	if err := n.idle().Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	live := n.part("live", 0)
	for i := range 3 {
		if err := n.courier.Take(live, piece("caller", i)); err != nil {
			t.Fatal(err)
		}
	}
	n.drain()
	n.recording.Store(live.PartKey, true)
	var order trace
	n.work(func(w *screen.WorkerConfig) {
		w.Observe = func(s screen.Step) {
			if s.Name == screen.StepSubmit {
				order.add(s.Call)
			}
		}
	})
	for i := range 5 {
		n.final(fmt.Sprintf("earlier-%d", i))
	}
	if got := order.all(); len(got) != 18 || !slices.Equal(got[:3], []string{"live", "live", "live"}) {
		t.Errorf("%v", got)
	}
}

// A poll that takes longer than what is left of the deadline is not cut off each time: the answer counts, or ends the waiting.
func TestASlowPollIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]string{"finished": "caller0 scored", "not finished": "caller0 failed/timeout"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const latency = 300 * time.Millisecond
			n := newNode(t, options{})
			n.call("a", 1)
			n.api.told(nil, func(ctx context.Context, job string, k int) (analyzer.Result, error) {
				select {
				case <-time.After(latency):
				case <-ctx.Done():
					return seen(0, 0, "")
				}
				if k > 2 && name == "finished" {
					return scored(job, 0.1), nil
				}
				return seen(latency, 0, "")
			})
			n.work(func(w *screen.WorkerConfig) { w.Deadline = latency + 100*time.Millisecond })
			if r := n.final("a"); states(r) != last || n.api.asked("job-1") > 4 {
				t.Errorf("%s after %d polls", states(r), n.api.asked("job-1"))
			}
		})
	}
}
