package analyzer_test

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer"
)

// service answers questions about jobs by a clock. Each job takes as long as its time says.
type service struct {
	clock *leapClock
	time  func(job int) time.Duration
	count int
	done  time.Time // when the current job is finished
	asked []time.Time
}

func (s *service) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"id":"%d","status":"queued"}`
	if r.Method == http.MethodPost {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return nil, err
		}
		s.count++
		s.done, s.asked = s.clock.Now().Add(s.time(s.count)), nil
	} else {
		now := s.clock.Now()
		s.asked = append(s.asked, now)
		if !now.Before(s.done) {
			body = `{"id":"%d","status":"completed","score":0.1}`
		}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(fmt.Sprintf(body, s.count))),
	}, nil
}

// services are analysis services whose jobs take different times.
func services(rng *rand.Rand) map[string]func(job int) time.Duration {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	return map[string]func(int) time.Duration{
		"steady": func(int) time.Duration { return seconds(2.7 * (0.9 + 0.2*rng.Float64())) }, // within 20 %
		"normal": func(int) time.Duration { return seconds(max(2.7*(1+0.2*rng.NormFloat64()), 0.3)) },
		"drifting": func(job int) time.Duration {
			return seconds((4 + 2*math.Sin(float64(job)/150)) * (0.9 + 0.2*rng.Float64()))
		},
		"bimodal":      func(int) time.Duration { return seconds([2]float64{2, 6}[rng.IntN(2)] * (0.95 + 0.1*rng.Float64())) },
		"heavy-tailed": func(int) time.Duration { return seconds(min(1.5*math.Pow(1-rng.Float64(), -1/1.5), 60)) },
		"sudden": func(job int) time.Duration {
			return seconds([2]float64{6, 2.5}[min(job/800, 1)] * (0.9 + 0.2*rng.Float64()))
		},
	}
}

// polled has jobs analysed, and returns the median delay from the end of a job to the answer that shows it, and the mean number of
// questions, of the last half of the jobs.
func polled(tb testing.TB, jobs int, times func(int) time.Duration, learned bool) (median time.Duration, questions float64) {
	tb.Helper()
	clock := &leapClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := &service{clock: clock, time: times}
	var c *analyzer.Client
	var delays []time.Duration
	for i := range jobs {
		if c == nil || !learned {
			var err error
			c, err = analyzer.New("key", &analyzer.Options{Clock: clock, HTTPClient: &http.Client{Transport: s}})
			if err != nil {
				tb.Fatal(err)
			}
		}
		if _, err := c.Analyze(tb.Context(), recording(1, 100), nil); err != nil {
			tb.Fatal(err)
		}
		for k := 1; k < len(s.asked); k++ {
			if gap := s.asked[k].Sub(s.asked[k-1]); gap < time.Second || gap > 3*time.Second {
				tb.Fatalf("job %d: questions %v apart", i, gap)
			}
		}
		if i >= jobs/2 {
			delays = append(delays, clock.Now().Sub(s.done))
			questions += float64(len(s.asked)) / float64(jobs-jobs/2)
		}
	}
	slices.Sort(delays)
	return delays[len(delays)/2], questions
}

// BenchmarkPolling compares questions at growing intervals with those at learned times.
func BenchmarkPolling(b *testing.B) {
	for name := range services(nil) {
		for _, learned := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/learned=%v", name, learned), func(b *testing.B) {
				for b.Loop() {
					median, questions := polled(b, 2000, services(rand.New(rand.NewPCG(1, 2)))[name], learned)
					b.ReportMetric(median.Seconds(), "s-delay")
					b.ReportMetric(questions, "questions/job")
				}
			})
		}
	}
}

// Once the client has learned how long jobs take, it asks when they are likely to be finished: sooner than at growing intervals, with
// fewer questions. 1 to 3 s lie between two questions, and a second before the first one.
func TestQuestionsComeWhenJobsAreLikelyToBeFinished(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]struct {
		delay     time.Duration
		questions float64
	}{
		"steady":       {400 * time.Millisecond, 1.6},
		"normal":       {650 * time.Millisecond, 2.2},
		"drifting":     {750 * time.Millisecond, 3},
		"bimodal":      {600 * time.Millisecond, 3},
		"heavy-tailed": {700 * time.Millisecond, 3.4},
		"sudden":       {450 * time.Millisecond, 1.7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(3, uint64(time.Now().UnixNano())))
			median, questions := polled(t, 2000, services(rng)[name], true)
			if median > most.delay || questions > most.questions {
				t.Errorf("%v from the end of a job to its result, %.2f questions", median, questions)
			}
		})
	}
}

// A later client takes up the times that an earlier one has learned, and refuses other data.
func TestLearnedTimesAreKept(t *testing.T) {
	clock := &leapClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := &service{clock: clock, time: func(int) time.Duration { return 5 * time.Second }}
	questions := func(learned []byte, jobs int) ([]byte, float64) {
		c, err := analyzer.New("key", &analyzer.Options{Clock: clock, HTTPClient: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		if learned != nil {
			if err := c.Learn(learned); err != nil {
				t.Fatal(err)
			}
		}
		sum := 0
		for range jobs {
			if _, err := c.Analyze(t.Context(), recording(1, 100), nil); err != nil {
				t.Fatal(err)
			}
			sum += len(s.asked)
		}
		data, err := c.Learned()
		if err != nil {
			t.Fatal(err)
		}
		return data, float64(sum) / float64(jobs)
	}
	learned, before := questions(nil, 300)
	if _, after := questions(learned, 100); after > 2 || after >= before {
		t.Errorf("%.2f questions, %.2f before", after, before)
	}
	c, err := analyzer.New("key", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{
		"", "{}", "[]", "null", `[[],[],[],[]]`, `[[],[],[],[],[{"after":2,"by":1}]]`, strings.Repeat("[", 1000),
		strings.Replace(string(learned), `"by":`, `"by":-`, 1),
	} {
		if c.Learn([]byte(wrong)) == nil {
			t.Errorf("%.40s is taken", wrong)
		}
	}
}

// A question that fails is repeated at growing intervals, whatever was learned.
func TestFailingQuestionsAreRepeatedAtGrowingIntervals(t *testing.T) {
	clock := &leapClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	s := &service{clock: clock, time: func(int) time.Duration { return 2 * time.Second }}
	failing := false
	var asked []time.Time
	c, err := analyzer.New("key", &analyzer.Options{Clock: clock, HTTPClient: &http.Client{Transport: pipeAPI(
		func(r *http.Request) (*http.Response, error) {
			if !failing || r.Method == http.MethodPost {
				return s.RoundTrip(r)
			}
			asked = append(asked, clock.Now())
			return answered(http.StatusServiceUnavailable, ""), nil
		})}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		failing = i == 59
		if _, err := c.Analyze(t.Context(), recording(1, 100), nil); (err != nil) != failing {
			t.Fatal(err)
		}
	}
	if len(asked) < 30 || len(asked) > 60 {
		t.Errorf("%d questions in two minutes", len(asked))
	}
	for k := 4; k+2 < len(asked); k++ {
		if gap := asked[k+1].Sub(asked[k]); gap < 1500*time.Millisecond || gap > 3*time.Second {
			t.Errorf("question %d came %v after the one before", k+2, gap)
		}
	}
}
