package hook_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/hook"
)

// A failed message is sent again by the schedule, with jitter, always with the same id. After the last attempt it is a
// dead letter. A replay starts the schedule again.
func TestScheduleDeadLetterAndReplay(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	r := newRig(t, nil)
	schedule := []time.Duration{10 * time.Second, time.Minute, time.Hour}
	random := []float64{0, 0.5, 0.999}
	attempt := 0
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url, Secrets: []hook.Secret{secret(t, oldSecret)}}}, Schedule: schedule,
		Random: func() float64 { return random[attempt] }})
	r.tell("msg_1", "crm")
	for i, wait := range schedule {
		got, d := e.next(t), r.next()
		want := r.now().Add(wait + time.Duration(random[i]*0.2*float64(wait)))
		if d.State != "pending" || d.Attempts != i+1 || d.NextAt.Sub(want).Abs() > time.Millisecond || d.LastStatus != 500 ||
			d.LastError != "HTTP 500" {
			t.Errorf("attempt %d: %+v, want the next at %v", i+1, d, want)
		}
		if got.header.Get("webhook-id") != "msg_1" || got.header.Get("webhook-timestamp") != strconv.FormatInt(r.now().Unix(), 10) {
			t.Errorf("attempt %d: %v", i+1, got.header)
		}
		if i == 0 {
			if err := verify(t, oldSecret, got); err != nil {
				t.Error(err)
			}
		}
		r.advance(d.NextAt.Sub(r.now()) - time.Millisecond)
		r.none()
		attempt = min(i+1, len(schedule)-1)
		r.advance(2 * time.Millisecond)
	}
	e.next(t)
	if d := r.next(); d.State != "dead" || d.Attempts != 4 || !d.SettledAt.Equal(r.now()) || d.LastError != "HTTP 500" {
		t.Errorf("%+v", d)
	}
	r.advance(1000 * time.Hour)
	r.none()
	dead, err := r.store.DeadLetters(t.Context(), 10)
	if err != nil || len(dead) != 1 || dead[0].ID != "msg_1" || dead[0].Attempts != 4 || dead[0].Call != "c" {
		t.Errorf("%+v %v", dead, err)
	}
	if log := r.log.String(); strings.Count(log, "level=ERROR") != 1 || strings.Count(log, "level=WARN") != 3 ||
		!strings.Contains(log, "msg_1") ||
		strings.Contains(log, "whsec_") {
		t.Error(log)
	}
	if delivered, failed, dead := r.hooks.Counts(); delivered != 0 || failed != 4 || dead != 1 {
		t.Error(delivered, failed, dead)
	}
	// A replay to a broken endpoint has all attempts again.
	if err := r.store.Replay(t.Context(), "msg_1", "crm", "me", r.now()); err != nil {
		t.Fatal(err)
	}
	r.hooks.News()
	if d := r.next(); d.State != "pending" || d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
	broken.Store(false)
	r.advance(time.Hour)
	if d := r.next(); d.State != "delivered" || d.ID != "msg_1" || d.Attempts != 2 {
		t.Errorf("%+v", d)
	}
	for range 2 {
		if got := e.next(t); got.header.Get("webhook-id") != "msg_1" {
			t.Errorf("%v", got.header)
		}
	}
}

// The default schedule lasts three days, so that an endpoint may be broken over a weekend.
func TestTheDefaultScheduleLastsThreeDays(t *testing.T) {
	t.Parallel()
	e, r := newEndpoint(t, status(503)), newRig(t, nil)
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}, Random: func() float64 { return 0 }})
	begin := r.now()
	r.tell("msg_1", "crm")
	for attempt := 1; ; attempt++ {
		d := r.next()
		if d.State == "dead" {
			if took := r.now().Sub(begin); took < 72*time.Hour || took > 96*time.Hour || attempt != 11 {
				t.Errorf("given up after %v and %d attempts", took, attempt)
			}
			return
		}
		r.advance(d.NextAt.Sub(r.now()))
	}
}

func TestRetryAfterIsHonouredWhereItIsLonger(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	base := r.now().UTC()
	wants, to := map[string]time.Duration{}, []hook.Endpoint{}
	for value, want := range map[string]time.Duration{
		"120":                  2 * time.Minute,
		" 120 ":                2 * time.Minute,
		"1":                    11 * time.Second,
		"0":                    11 * time.Second,
		"-5":                   11 * time.Second,
		"":                     11 * time.Second,
		"soon":                 11 * time.Second,
		"99999999":             24 * time.Hour,
		"99999999999999999999": 11 * time.Second,
		base.Add(time.Hour).Format(http.TimeFormat):        time.Hour,
		base.Add(-time.Hour).Format(http.TimeFormat):       11 * time.Second,
		base.Add(1000 * time.Hour).Format(http.TimeFormat): 24 * time.Hour,
	} {
		for _, code := range []int{429, 503} {
			e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", value)
				w.WriteHeader(code)
			})
			name := fmt.Sprintf("HTTP %d, Retry-After: %s", code, value)
			to = append(to, hook.Endpoint{Name: name, URL: e.url})
			wants[name] = want
		}
	}
	r.run(hook.Config{Endpoints: to, Schedule: []time.Duration{10 * time.Second}})
	r.tell("msg_1", slices.Collect(maps.Keys(wants))...)
	for range wants {
		if d := r.next(); d.State != "pending" || d.NextAt.Sub(r.now()) != wants[d.Endpoint] {
			t.Errorf("%s: again after %v, want %v", d.Endpoint, d.NextAt.Sub(r.now()), wants[d.Endpoint])
		}
	}
}

// Every kind of answer has its own result.
func TestAnswers(t *testing.T) {
	t.Parallel()
	elsewhere := newEndpoint(t, nil)
	type outcome struct {
		answer http.HandlerFunc
		state  string
		status int
		text   string
	}
	cases := map[string]outcome{
		"200":     {status(200), "delivered", 200, ""},
		"204":     {status(204), "delivered", 204, ""},
		"299":     {status(299), "delivered", 299, ""},
		"400":     {status(400), "pending", 400, "HTTP 400"},
		"401":     {status(401), "pending", 401, "HTTP 401"},
		"404":     {status(404), "pending", 404, "HTTP 404"},
		"500":     {status(500), "pending", 500, "HTTP 500"},
		"a book":  {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }, "delivered", 200, ""},
		"nothing": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "pending", 0, "EOF"},
		"301":     {redirect(elsewhere.url, 301), "pending", 301, "HTTP 301"},
		"302":     {redirect(elsewhere.url, 302), "pending", 302, "HTTP 302"},
		"307":     {redirect(elsewhere.url, 307), "pending", 307, "HTTP 307"},
		"308":     {redirect(elsewhere.url, 308), "pending", 308, "HTTP 308"},
	}
	r := newRig(t, nil)
	endpoints, to := map[string]*endpoint{}, []hook.Endpoint{}
	for name, c := range cases {
		endpoints[name] = newEndpoint(t, c.answer)
		to = append(to, hook.Endpoint{Name: name, URL: endpoints[name].url})
	}
	r.run(hook.Config{Endpoints: to})
	r.tell("msg_1", slices.Collect(maps.Keys(cases))...)
	for range cases {
		d := r.next()
		if c := cases[d.Endpoint]; d.State != c.state || d.LastStatus != c.status || !strings.Contains(d.LastError, c.text) ||
			(d.LastError == "") != (c.text == "") {
			t.Errorf("%+v", d)
		}
	}
	r.stop()
	for name, e := range endpoints {
		if len(e.got) != 1 {
			t.Errorf("%s: %d requests", name, len(e.got))
		}
	}
	if len(elsewhere.got) != 0 {
		t.Errorf("%d messages went elsewhere", len(elsewhere.got))
	}
}

func redirect(to string, code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) }
}

func TestAnEndpointThatIsNotThereIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "down", URL: "http://127.0.0.1:1/hook"}, {Name: "bad", URL: "http://[::1"}}})
	r.tell("msg_1", "down", "bad")
	for range 2 {
		if d := r.next(); d.State != "pending" || d.LastStatus != 0 || d.LastError == "" || !d.NextAt.After(r.now()) {
			t.Errorf("%+v", d)
		}
	}
}

// An endpoint that answered 410 Gone gets no message until it is enabled again.
func TestGoneDisablesAnEndpoint(t *testing.T) {
	t.Parallel()
	var gone atomic.Bool
	gone.Store(true)
	e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
		if gone.Load() {
			w.WriteHeader(http.StatusGone)
		}
	})
	other := newEndpoint(t, nil)
	r := newRig(t, nil)
	r.tell("msg_1", "crm", "other")
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}, {Name: "other", URL: other.url}}})
	for range 2 {
		if d := r.next(); d.Endpoint == "crm" && (d.State != "dead" || d.LastStatus != 410) || d.Endpoint == "other" && d.State != "delivered" {
			t.Errorf("%+v", d)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) { // it is disabled after the delivery is saved
		since, _, err := r.store.Store.Disabled(t.Context(), "crm")
		if err != nil || time.Now().After(end) {
			t.Fatal("the endpoint is not disabled", err)
		}
		if !since.IsZero() {
			break
		}
	}
	r.tell("msg_2", "crm")
	if d := r.next(); d.State != "dead" || d.ID != "msg_2" || !strings.Contains(d.LastError, "410") {
		t.Errorf("%+v", d)
	}
	if dead, err := r.store.DeadLetters(t.Context(), 10); err != nil || len(dead) != 2 || len(e.got) != 1 || len(other.got) != 1 {
		t.Errorf("%+v %v, %d requests", dead, err, len(e.got))
	}
	if since, reason, err := r.store.Store.Disabled(t.Context(), "crm"); err != nil || since.IsZero() || !strings.Contains(reason, "410") ||
		!strings.Contains(r.log.String(), "level=ERROR") {
		t.Error(since, reason, err, r.log.String())
	}
	gone.Store(false)
	if err := r.store.EnableEndpoint(t.Context(), "crm", "me", r.now()); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Replay(t.Context(), "msg_1", "crm", "me", r.now()); err != nil {
		t.Fatal(err)
	}
	r.tell("msg_3", "crm")
	for range 2 {
		if d := r.next(); d.State != "delivered" {
			t.Errorf("%+v", d)
		}
	}
}
