package analyzer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-hunter2"

// recording returns a WAV file of the given number of samples. Different seeds give different samples.
func recording(seed, samples int) analyzer.Audio {
	var b bytes.Buffer
	b.WriteString("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x80\x3e\x00\x00\x00\x7d\x00\x00\x02\x00\x10\x00data")
	b.Write([]byte{byte(2 * samples), byte(2 * samples >> 8), byte(2 * samples >> 16), 0})
	for i := range samples {
		b.Write([]byte{byte(i * seed), byte(i * seed >> 9)})
	}
	return analyzer.BytesAudio(b.Bytes())
}

// rig is a client of a scripted simulator, with a record of all requests and log lines.
type rig struct {
	client *analyzer.Client
	stand  *simulator.Server
	url    string
	mu     sync.Mutex
	events []analyzer.Event
	log    bytes.Buffer
}

func newRig(t testing.TB, script simulator.Script, change func(*analyzer.Options)) *rig {
	t.Helper()
	r := &rig{stand: simulator.New(script)}
	server := httptest.NewServer(r.stand)
	r.url = server.URL
	opts := &analyzer.Options{
		BaseURL:     server.URL,
		PollInitial: time.Millisecond,
		PollMax:     3 * time.Millisecond,
		Deadline:    5 * time.Second,
		Grace:       20 * time.Millisecond,
		Log:         slog.New(slog.NewTextHandler(&r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(e analyzer.Event) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.events = append(r.events, e)
		},
	}
	if change != nil {
		change(opts)
	}
	var err error
	if r.client, err = analyzer.New(secret, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		server.CloseClientConnections()
		server.Close()
	})
	return r
}

// resends counts the submissions that repeated an upload of unknown outcome.
func (r *rig) resends() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Resend {
			n++
		}
	}
	return n
}

func answer(a simulator.Answer) *simulator.Answer { return &a }

func short(o *analyzer.Options) { o.Deadline, o.PollMax = time.Second, 100*time.Millisecond }

// TestEveryMisbehaviourOfTheAPI covers the failures of a real service and their results.
func TestEveryMisbehaviourOfTheAPI(t *testing.T) {
	submit := func(a simulator.Answer) simulator.Rule { return simulator.Rule{Submit: &a} }
	poll := func(a simulator.Answer) simulator.Rule { return simulator.Rule{Poll: &a} }
	result := func(r simulator.Result) simulator.Rule { return simulator.Rule{Result: r} }
	yesterday := time.Now().Add(-24 * time.Hour).UTC().Format(http.TimeFormat)
	for _, c := range []struct {
		name     string
		rule     simulator.Rule
		change   func(*analyzer.Options)
		kind     analyzer.Kind // "" for a result
		submits  int           // 0: any number
		accepted int
		resends  int
		text     string // part of the error
	}{
		{"nothing is wrong", simulator.Rule{}, nil, "", 1, 1, 0, ""},
		{"finished at once", result(simulator.Result{AtOnce: true}), nil, "", 1, 1, 0, ""},
		{"the id is a number", result(simulator.Result{NumberID: true}), nil, "", 1, 1, 0, ""},
		{"statuses nobody knows", result(simulator.Result{Statuses: []string{"processing", "PENDING", "in review"}}), nil, "", 1, 1, 0, ""},
		{"an empty status", result(simulator.Result{Statuses: []string{""}}), nil, "", 1, 1, 0, ""},
		{"a verdict nobody knows", result(simulator.Result{Verdict: "who_knows"}), nil, "", 1, 1, 0, ""},
		{"the score is text", result(simulator.Result{Score: "0.87"}), nil, "", 1, 1, 0, ""},

		{"401", submit(simulator.Answer{Status: 401}), nil, analyzer.KindUnauthorized, 1, 0, 0, "check DATASPIKE_API_KEY"},
		{"403", submit(simulator.Answer{Status: 403}), nil, analyzer.KindUnauthorized, 1, 0, 0, "HTTP 403"},
		{"400", submit(simulator.Answer{Status: 400, Body: `{"message":"no audio"}`}), nil, analyzer.KindRejected, 1, 0, 0, `"no audio"`},
		{"404", submit(simulator.Answer{Status: 404}), nil, analyzer.KindRejected, 1, 0, 0, "check analysis.base_url"},
		{"413", submit(simulator.Answer{Status: 413}), nil, analyzer.KindTooLarge, 1, 0, 0, "too large"},
		{"415", submit(simulator.Answer{Status: 415}), nil, analyzer.KindRejected, 1, 0, 0, "HTTP 415"},
		{"422", submit(simulator.Answer{Status: 422}), nil, analyzer.KindRejected, 1, 0, 0, "HTTP 422"},
		{"408 passes", submit(simulator.Answer{Status: 408, Times: 2}), nil, "", 3, 1, 0, ""},
		{"425 passes", submit(simulator.Answer{Status: 425, Times: 1}), nil, "", 2, 1, 0, ""},
		{"429 passes", submit(simulator.Answer{Status: 429, Times: 3}), nil, "", 4, 1, 0, ""},
		{
			"429 with a Retry-After of a day that is over",
			submit(simulator.Answer{Status: 429, Times: 1, RetryAfter: yesterday}),
			nil,
			"",
			2,
			1,
			0,
			"",
		},
		{"429 with a Retry-After of nonsense", submit(simulator.Answer{Status: 429, Times: 1, RetryAfter: "soon"}), nil, "", 2, 1, 0, ""},
		{
			"429 beyond the deadline",
			submit(simulator.Answer{Status: 429, RetryAfter: "3600"}),
			nil,
			analyzer.KindTimeout,
			1,
			0,
			0,
			"retry possible in 1h0m0s",
		},
		{"402", submit(simulator.Answer{Status: 402}), nil, analyzer.KindNoCredit, 1, 0, 0, "has no credit"},
		{"405 passes", submit(simulator.Answer{Status: 405, Times: 2}), nil, "", 3, 1, 0, ""},
		{"409 passes", submit(simulator.Answer{Status: 409, Times: 2}), nil, "", 3, 1, 0, ""},
		{"an unknown status passes", submit(simulator.Answer{Status: 444, Times: 2}), nil, "", 3, 1, 0, ""},
		{"501 passes", submit(simulator.Answer{Status: 501, Times: 2}), nil, "", 3, 1, 0, ""},
		{"503 passes", submit(simulator.Answer{Status: 503, Times: 4}), nil, "", 5, 1, 0, ""},
		{"500 passes", submit(simulator.Answer{Status: 500, Times: 2}), nil, "", 3, 1, 0, ""},
		{"502 twice", submit(simulator.Answer{Status: 502}), nil, analyzer.KindInDoubt, 2, 0, 1, "may have been charged"},
		{"504 twice", submit(simulator.Answer{Status: 504}), nil, analyzer.KindInDoubt, 2, 0, 1, "may have been charged"},
		{"524 twice", submit(simulator.Answer{Status: 524}), nil, analyzer.KindInDoubt, 2, 0, 1, "may have been charged"},
		{
			"504, and never sent again",
			submit(simulator.Answer{Status: 504}),
			func(o *analyzer.Options) { o.NeverResend = true },
			analyzer.KindInDoubt,
			1,
			0,
			0,
			"analysis.resend_in_doubt",
		},
		{
			"502 with HTML passes",
			submit(simulator.Answer{Status: 502, Body: "<html><h1>Bad</h1></html>", ContentType: "text/html", Times: 1}),
			nil,
			"",
			2,
			1,
			1,
			"",
		},
		{
			"503 does not pass",
			submit(simulator.Answer{Status: 503, Body: "<html>\nMaintenance\x00\n</html>"}),
			short,
			analyzer.KindTimeout,
			0,
			0,
			0,
			`"<html> Maintenance </html>"`,
		},
		{
			"a redirect",
			submit(simulator.Answer{Status: 307, Location: "http://127.0.0.1:1/"}),
			short,
			analyzer.KindTimeout,
			0,
			0,
			0,
			"redirects elsewhere",
		},

		{"the connection is lost after the upload", submit(simulator.Answer{Reset: "after", Times: 1}), nil, "", 2, 2, 1, ""},
		{"lost twice", submit(simulator.Answer{Reset: "after"}), nil, analyzer.KindInDoubt, 2, 2, 1, "may have been charged"},
		{
			"lost, and never sent again",
			submit(simulator.Answer{Reset: "after"}),
			func(o *analyzer.Options) { o.NeverResend = true },
			analyzer.KindInDoubt,
			1,
			1,
			0,
			"analysis.resend_in_doubt",
		},
		{
			"no answer in time",
			submit(simulator.Answer{Delay: time.Second, Times: 1}),
			func(o *analyzer.Options) { o.RequestTimeout = 50 * time.Millisecond },
			"",
			2,
			1,
			1,
			"",
		},
		{"accepted, and the answer is no JSON", submit(simulator.Answer{Status: 200, Body: "OK", Times: 1}), nil, "", 2, 1, 1, ""},
		{
			"accepted without an id",
			submit(simulator.Answer{Status: 200, Body: `{"status":"queued"}`}),
			nil,
			analyzer.KindInDoubt,
			2,
			0,
			1,
			"has no job id",
		},
		{
			"completed without an id",
			submit(simulator.Answer{Status: 200, Body: `{"status":"completed","score":0.01}`}),
			nil,
			analyzer.KindInDoubt,
			2,
			0,
			1,
			"has no job id",
		},
		{
			"failed without an id, once",
			submit(simulator.Answer{Status: 200, Body: `{"status":"failed","error_code":"Unknown"}`, Times: 1}),
			nil,
			"",
			2,
			1,
			1,
			"",
		},
		{"see another place", submit(simulator.Answer{Status: 303, Location: "/", Times: 1}), nil, "", 2, 1, 1, ""},
		{
			"two scores",
			poll(simulator.Answer{Status: 200, Body: `{"id":"x","status":"completed","score":0.99,"score":0.01}`, Times: 2}),
			nil,
			"",
			1,
			1,
			0,
			"",
		},
		{
			"an answer larger than 1 MiB",
			submit(simulator.Answer{Status: 200, Body: `{"id":"` + strings.Repeat("x", 2<<20) + `"}`}),
			nil,
			analyzer.KindInDoubt,
			2,
			0,
			1,
			"in doubt",
		},
		{
			"BOM and white space",
			submit(simulator.Answer{Status: 200, Body: "\ufeff \n{\"id\": 7, \"status\": \"completed\", \"score\": 0.5}\n\n"}),
			nil,
			"",
			1,
			0,
			0,
			"",
		},

		{"polls fail for a while", poll(simulator.Answer{Status: 500, Times: 5}), nil, "", 1, 1, 0, ""},
		{"polls are limited for a while", poll(simulator.Answer{Status: 429, Times: 2}), nil, "", 1, 1, 0, ""},
		{"poll connections are lost for a while", poll(simulator.Answer{Reset: "before", Times: 3}), nil, "", 1, 1, 0, ""},
		{
			"an upload gets the page of a proxy",
			submit(simulator.Answer{Status: 404, Body: "<html>default backend</html>", ContentType: "text/html", Times: 2}),
			nil,
			"",
			3,
			1,
			0,
			"",
		},
		{"an upload gets a 413 page", submit(simulator.Answer{Status: 413, Body: "\n<html>", Times: 1}), nil, "", 2, 1, 0, ""},
		{"a poll is cut off", poll(simulator.Answer{Status: 200, Body: `{"id":"x","status":"comp`, Times: 1}), nil, "", 1, 1, 0, ""},
		{"a poll gets HTML", poll(simulator.Answer{Status: 200, Body: "<html>login</html>", Times: 2}), nil, "", 1, 1, 0, ""},
		{
			"the job is not visible yet",
			poll(simulator.Answer{Status: 404, Times: 20}),
			func(o *analyzer.Options) { o.Grace = 0 },
			"",
			1,
			1,
			0,
			"",
		},
		{
			"a proxy answers 404 for a while",
			poll(simulator.Answer{Status: 404, Body: "<html>Not Found</html>", Times: 40}),
			nil,
			"",
			1,
			1,
			0,
			"",
		},
		{"the job is gone", poll(simulator.Answer{Status: 404}), nil, analyzer.KindJobNotFound, 1, 1, 0, "does not know this job"},
		{"polls are refused with an unknown status", poll(simulator.Answer{Status: 418, Times: 5}), nil, "", 1, 1, 0, ""},
		{"polls get 400 for a while", poll(simulator.Answer{Status: 400, Times: 5}), nil, "", 1, 1, 0, ""},
		{"polls are redirected for a while", poll(simulator.Answer{Status: 302, Location: "/", Times: 5}), nil, "", 1, 1, 0, ""},
		{
			"polls get another job for a while",
			poll(simulator.Answer{Body: `{"id":"another","status":"completed","score":0.99}`, Times: 5}),
			nil,
			"",
			1,
			1,
			0,
			"",
		},
		{
			"completed, and the score follows",
			poll(simulator.Answer{Body: `{"status":"completed"}`, Times: 3}),
			func(o *analyzer.Options) { o.Grace = 0 },
			"",
			1,
			1,
			0,
			"",
		},
		{"402 on a poll", poll(simulator.Answer{Status: 402}), nil, analyzer.KindNoCredit, 1, 1, 0, "HTTP 402"},
		{"401 on a poll", poll(simulator.Answer{Status: 401}), nil, analyzer.KindUnauthorized, 1, 1, 0, "HTTP 401"},
		{"never finished", result(simulator.Result{Never: true}), short, analyzer.KindTimeout, 1, 1, 0, `its status is "queued"`},
		{
			"failed",
			result(simulator.Result{Failed: true, ErrorCode: "RuntimeError", Message: "no\nvoice\x1b[2J found"}),
			nil,
			analyzer.KindJobFailed,
			1,
			1,
			0,
			`RuntimeError, "no voice[2J found"`,
		},
		{"no score", result(simulator.Result{NoScore: true}), nil, analyzer.KindInvalidScore, 1, 1, 0, "has no score"},
		{"score 87", result(simulator.Result{Score: 87}), nil, analyzer.KindInvalidScore, 1, 1, 0, ""},
		{"score -1", result(simulator.Result{Score: -1}), nil, analyzer.KindInvalidScore, 1, 1, 0, ""},
		{"score NaN", result(simulator.Result{Score: "NaN"}), nil, analyzer.KindInvalidScore, 1, 1, 0, ""},
		{"score null", result(simulator.Result{Score: []any{}}), nil, analyzer.KindInvalidScore, 1, 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, simulator.Script{Rules: []simulator.Rule{c.rule}}, c.change)
			ids := 0
			got, err := r.client.Analyze(t.Context(), recording(1, 8000), func(string) { ids++ })
			s := r.stand.Stats()
			if c.submits > 0 && s.Submits != c.submits {
				t.Errorf("%d submissions, want %d", s.Submits, c.submits)
			}
			if s.Accepted != c.accepted {
				t.Errorf("%d accepted, want %d", s.Accepted, c.accepted)
			}
			if r.resends() != c.resends || got.Resent != (c.resends > 0) {
				t.Errorf("%d sent again, want %d; the result says %v", r.resends(), c.resends, got.Resent)
			}
			if c.kind == "" {
				if err != nil || !(got.Score >= 0 && got.Score <= 1) || got.JobID == "" || ids != 1 {
					t.Errorf("%+v, %v, %d ids", got, err, ids)
				}
				return
			}
			var e *analyzer.Error
			if !errors.As(err, &e) || e.Kind != c.kind || analyzer.Reason(err) != string(c.kind) {
				t.Fatalf("error is %v", err)
			}
			if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), c.text) {
				t.Errorf("no %q in %q", c.text, err)
			}
			if analyzer.MayBeAudio(err) != (c.kind == analyzer.KindJobFailed) {
				t.Error("whether it may lie in the audio is wrong")
			}
			if everything := fmt.Sprintf("%v %+v %#v %s", err, err, e, r.log.String()); strings.Contains(everything, secret) ||
				strings.Contains(everything, "hunter2") {
				t.Errorf("the key shows: %s", everything)
			}
		})
	}
}

// Invariant: a rejected key is not tried again and again.
func TestARefusedKeyStopsAllSubmissions(t *testing.T) {
	r := newRig(t, simulator.Script{Token: "another"}, nil)
	for range 5 {
		if _, err := r.client.Analyze(t.Context(), recording(1, 100), nil); analyzer.Reason(err) != "unauthorized" {
			t.Fatalf("error is %v", err)
		}
	}
	if n := strings.Count(r.log.String(), "rejects the key"); n != 1 || !strings.Contains(r.log.String(), "level=ERROR") {
		t.Errorf("said %d times: %s", n, r.log.String())
	}
	if _, err := r.client.Poll(t.Context(), "x"); analyzer.Reason(err) != "unauthorized" {
		t.Errorf("error is %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 6 || r.stand.Stats().Submits != 0 {
		t.Errorf("%d events, %d submissions", len(r.events), r.stand.Stats().Submits)
	}
}

func TestTheKeyNeverShows(t *testing.T) {
	r := newRig(t, simulator.Script{}, nil)
	key := analyzer.Key(secret)
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v %+v %#v %s %q", key, key, key, key, key)
	fmt.Fprintf(&b, "%v %+v", r.client, r.client)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "key", key, "client", fmt.Sprint(r.client))
	if text, err := key.MarshalText(); err != nil || !strings.Contains(string(text), "redacted") {
		t.Errorf("%s %v", text, err)
	}
	if strings.Contains(b.String(), "hunter2") {
		t.Errorf("shown in %s", b.String())
	}
	for _, bad := range []analyzer.Key{"", "a b", "a\nb", "schlüssel"} {
		if _, err := analyzer.New(bad, nil); err == nil || bad != "" && strings.Contains(err.Error(), string(bad)) {
			t.Errorf("key %q: error is %v", string(bad), err)
		}
	}
	for _, base := range []string{"x", "ftp://a/", "https://", "https://u:p@h/"} {
		if _, err := analyzer.New("k", &analyzer.Options{BaseURL: base}); err == nil {
			t.Errorf("base URL %q is taken", base)
		}
	}
}

// http would/ net/http would send the header to the target of a redirect, and turn the POST into a GET.
func TestARedirectCarriesNeitherKeyNorRecording(t *testing.T) {
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Method+" "+r.Header.Get("ds-api-token"))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, rule := range []simulator.Rule{
			{Submit: answer(simulator.Answer{Status: status, Location: other.URL})},
			{Poll: answer(simulator.Answer{Status: status, Location: other.URL})},
		} {
			r := newRig(t, simulator.Script{Rules: []simulator.Rule{rule}}, short)
			// A busy machine may not even answer within the short deadline: the upload is in doubt then.
			_, err := r.client.Analyze(t.Context(), recording(1, 100), nil)
			if reason := analyzer.Reason(err); reason != "timeout" && reason != "in_doubt" {
				t.Errorf("HTTP %d: error is %v", status, err)
			}
		}
	}
	if len(elsewhere) > 0 {
		t.Errorf("the other host was asked: %q", elsewhere)
	}
}

func TestManyRecordingsAtATimeAgainstAnAPIThatFails(t *testing.T) {
	r := newRig(
		t,
		simulator.Script{FailRate: 0.3, Seed: 3, Latency: 5 * time.Millisecond},
		func(o *analyzer.Options) { o.Deadline = 30 * time.Second },
	)
	var all sync.WaitGroup
	var mu sync.Mutex
	results, doubts := 0, 0
	for i := range 100 {
		all.Go(func() {
			_, err := r.client.Analyze(t.Context(), recording(i+1, 2000), nil)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				results++
			case analyzer.Reason(err) == string(analyzer.KindInDoubt): // lost twice
				doubts++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if results < 90 || results+doubts != 100 {
		t.Errorf("%d results, %d in doubt", results, doubts)
	}
	if s := r.stand.Stats(); s.Failures < 50 {
		t.Errorf("only %d requests failed", s.Failures)
	}
}

// Cancelling the context ends the call in every phase.
func TestCancelInEveryPhase(t *testing.T) {
	for name, rule := range map[string]simulator.Rule{
		"during the upload": {Submit: answer(simulator.Answer{Delay: time.Minute})},
		"between attempts":  {Submit: answer(simulator.Answer{Status: 429, RetryAfter: "60"})},
		"during a poll":     {Poll: answer(simulator.Answer{Delay: time.Minute})},
		"between polls":     {Result: simulator.Result{Never: true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, simulator.Script{Rules: []simulator.Rule{rule}}, func(o *analyzer.Options) {
				o.Deadline, o.PollMax = 10*time.Minute, time.Minute
			})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err := r.client.Analyze(ctx, recording(1, 100), nil)
			var e *analyzer.Error
			if !errors.As(err, &e) || e.Kind != analyzer.KindCanceled || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// A caller that was stopped continues with the known job, and is not charged again.
func TestWaitGoesOnWithAKnownJob(t *testing.T) {
	r := newRig(t, simulator.Script{}, nil)
	job, err := r.client.Submit(t.Context(), recording(1, 100))
	if err != nil || job.Done() {
		t.Fatalf("%+v %v", job, err)
	}
	got, err := r.client.Wait(t.Context(), job.ID)
	if err != nil || got.JobID != job.ID || r.stand.Stats().Submits != 1 {
		t.Errorf("%+v %v", got, err)
	}
}
