package analyzer_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
)

// leapClock jumps ahead instead of waiting, and records the waits.
type leapClock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *leapClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *leapClock) After(d time.Duration) (<-chan time.Time, func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waits = append(c.waits, d)
	ch := make(chan time.Time, 1)
	ch <- c.now
	return ch, func() {}
}

func paced(t *testing.T, script simulator.Script) ([]time.Duration, error) {
	t.Helper()
	clock := &leapClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	r := newRig(t, script, func(o *analyzer.Options) {
		o.Clock, o.PollInitial, o.PollMax, o.Deadline = clock, 0, 0, 0 // the defaults
	})
	r.stand.WithClock(clock.Now)
	_, err := r.client.Analyze(t.Context(), recording(1, 100), nil)
	return clock.waits, err
}

// Polls come every 1 to 3 s with growing intervals, as the documentation of the API advises.
func TestPollsGrowFromOneToThreeSeconds(t *testing.T) {
	waits, err := paced(t, simulator.Script{Latency: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range waits {
		if w < time.Second || w > 3*time.Second {
			t.Errorf("waited %v", w)
		}
	}
	if len(waits) < 10 || len(waits) > 20 || waits[0] != time.Second {
		t.Errorf("%v", waits)
	}
	if early, late := waits[1], slices.Max(waits[len(waits)-3:]); late <= early || late < 2*time.Second {
		t.Errorf("the waits do not grow: %v", waits)
	}
}

func TestADeadlineEndsAJob(t *testing.T) {
	waits, err := paced(t, simulator.Script{Rules: []simulator.Rule{{Result: simulator.Result{Never: true}}}})
	var sum time.Duration
	for _, w := range waits {
		sum += w
	}
	if analyzer.Reason(err) != "timeout" || sum < 120*time.Second || sum > 123*time.Second {
		t.Errorf("after %v: %v", sum, err)
	}
}

func TestRetryAfterIsHonouredIfItIsLonger(t *testing.T) {
	for after, want := range map[string]time.Duration{"20": 20 * time.Second, "0": 0, "Thu, 01 Jan 2026 00:00:40 GMT": 40 * time.Second} {
		for _, rule := range []simulator.Rule{
			{Submit: answer(simulator.Answer{Status: 429, RetryAfter: after, Times: 1})},
			{Poll: answer(simulator.Answer{Status: 503, RetryAfter: after, Times: 1})},
		} {
			waits, err := paced(t, simulator.Script{Rules: []simulator.Rule{rule}})
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Max(waits); want > 0 && (got > want || got < want-2*time.Second) || want == 0 && got > 3*time.Second {
				t.Errorf("Retry-After %s: waited %v", after, waits)
			}
		}
	}
}
