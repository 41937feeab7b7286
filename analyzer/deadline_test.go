package analyzer_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/analyzer"
)

// pipeAPI is an API without a network, for tests with the clock of testing/synctest.
type pipeAPI func(r *http.Request) (*http.Response, error)

func (f pipeAPI) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hangs returns a transport on which requests of a method get no answer, and others get a body.
func hangs(method, body string) pipeAPI {
	return func(r *http.Request) (*http.Response, error) {
		drain(r)
		if r.Method == method {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return answered(http.StatusOK, body), nil
	}
}

// No request outlives the deadline: a poll and an upload that hang end with it.
func TestADeadlineEndsARequestThatHangs(t *testing.T) {
	for method, want := range map[string]struct {
		after time.Duration
		kind  analyzer.Kind
	}{
		http.MethodGet:  {3 * time.Second, analyzer.KindTimeout}, // with the wait before the first poll
		http.MethodPost: {3 * time.Second, analyzer.KindInDoubt},
	} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := analyzer.New("key", &analyzer.Options{
					Deadline:   3 * time.Second,
					HTTPClient: &http.Client{Transport: hangs(method, `{"id":"j","status":"queued"}`)},
				})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				_, err = c.Analyze(t.Context(), recording(1, 100), nil)
				if took := time.Since(start); took > want.after || took < 3*time.Second || analyzer.Reason(err) != string(want.kind) {
					t.Errorf("after %v: %v", took, err)
				}
			})
		})
	}
}

// The time during which the API answers about a job is counted, and that of requests without an answer is not.
func TestTheTimeOfAnswersIsCounted(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func(r *http.Request) (*http.Response, error)
		answered [2]time.Duration // at least, at most
		odd      bool
	}{
		"unfinished": {
			func(*http.Request) (*http.Response, error) { return answered(200, `{"status":"queued"}`), nil },
			[2]time.Duration{20 * time.Second, 20 * time.Second}, false,
		},
		"unknown job": {
			func(*http.Request) (*http.Response, error) { return answered(404, ``), nil },
			[2]time.Duration{20 * time.Second, 20 * time.Second}, true,
		},
		"no score": {
			func(*http.Request) (*http.Response, error) { return answered(200, `{"status":"completed"}`), nil },
			[2]time.Duration{20 * time.Second, 20 * time.Second}, true,
		},
		"errors":   {func(*http.Request) (*http.Response, error) { return answered(500, ``), nil }, [2]time.Duration{}, false},
		"HTML":     {func(*http.Request) (*http.Response, error) { return answered(200, `<html>`), nil }, [2]time.Duration{}, false},
		"no peer":  {func(*http.Request) (*http.Response, error) { return nil, net.ErrClosed }, [2]time.Duration{}, false},
		"a hang":   {hangs(http.MethodGet, ``), [2]time.Duration{}, false},
		"no right": {func(*http.Request) (*http.Response, error) { return answered(401, ``), nil }, [2]time.Duration{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := analyzer.New("key", &analyzer.Options{HTTPClient: &http.Client{Transport: pipeAPI(c.answer)}})
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				r, err := client.Wait(ctx, "j")
				if err == nil || r.Answered < c.answered[0] || r.Answered > c.answered[1] {
					t.Errorf("answered for %v: %v", r.Answered, err)
				}
				if odd := r.Odd == r.Answered && r.Odd > 0; odd != c.odd {
					t.Errorf("odd for %v of %v", r.Odd, r.Answered)
				}
			})
		})
	}
}

// A caller with little time left gets a poll too.
func TestAShortWaitAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		polls := 0
		client, err := analyzer.New("key", &analyzer.Options{HTTPClient: &http.Client{Transport: pipeAPI(
			func(*http.Request) (*http.Response, error) { polls++; return answered(200, `{"status":"queued"}`), nil },
		)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if r, err := client.Wait(ctx, "j"); err == nil || polls != 1 || r.Answered != 300*time.Millisecond {
			t.Errorf("%d polls, %v, %v", polls, r.Answered, err)
		}
	})
}

// The repeat of an upload of unknown outcome waits until the API answers again.
func TestAResendWaitsUntilTheAPIAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, uploads := time.Now(), []time.Duration(nil)
		client, err := analyzer.New("key", &analyzer.Options{HTTPClient: &http.Client{Transport: pipeAPI(
			func(r *http.Request) (*http.Response, error) {
				drain(r)
				if r.Method == http.MethodPost {
					uploads = append(uploads, time.Since(start))
				}
				if time.Since(start) < time.Minute {
					<-r.Context().Done()
					return nil, r.Context().Err()
				}
				return answered(200, `{"id":"j","status":"completed","score":0.5}`), nil
			},
		)}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := client.Analyze(t.Context(), recording(1, 100), nil)
		if err != nil || len(uploads) != 2 || uploads[1] < time.Minute || !r.Resent {
			t.Errorf("uploads at %v, %+v, %v", uploads, r, err)
		}
	})
}
