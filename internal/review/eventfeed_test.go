package review_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/review"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// sent is an event as received by a browser.
type sent struct {
	id, name string
	data     map[string]any
}

// listen opens an event stream for the duration of the test.
func (o *office) listen(query string, headers ...string) <-chan sent {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, "GET", o.url+"/api/v1/events"+query, nil)
	o.must(err)
	r.Header.Set("Authorization", "Bearer vera")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	o.must(err)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		o.t.Fatalf("HTTP %d %v", resp.StatusCode, resp.Header)
	}
	out := make(chan sent, 10_000)
	var done sync.WaitGroup
	done.Go(func() {
		defer close(out)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		var e sent
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				_ = json.Unmarshal([]byte(value), &e.data)
			case "":
				if e.name != "" {
					out <- e
				}
				e = sent{}
			}
		}
	})
	o.t.Cleanup(func() {
		cancel()
		resp.Body.Close()
		done.Wait()
	})
	return out
}

func (o *office) next(from <-chan sent) sent {
	o.t.Helper()
	select {
	case e, ok := <-from:
		if !ok {
			o.t.Fatal("the stream has ended")
		}
		return e
	case <-time.After(10 * time.Second):
		o.t.Fatal("no event comes")
	}
	return sent{}
}

func (o *office) line(what string) {
	o.t.Helper()
	o.must(o.store.InTx(o.t.Context(), func(tx *store.Tx) error {
		return tx.Audit(o.t.Context(), store.Line{At: begun, Actor: "machine", What: what, Call: "c"})
	}))
}

// Events arrive in order, and a client that reconnects gets the missed events.
func TestEventsAreToldAndRepeated(t *testing.T) {
	o := newOffice(t, nil)
	for i := range 5 {
		o.line(fmt.Sprint("before.", i))
	}
	live := o.listen("")
	again := o.listen("", "Last-Event-ID", "2")
	page := o.listen("?after=4")
	for i := range 3 {
		o.line(fmt.Sprint("after.", i)) // as another node would, without a word
	}
	for name, c := range map[string]struct {
		from  <-chan sent
		first int
	}{"from now on": {live, 6}, "from the second on": {again, 3}, "from where the page was made": {page, 5}} {
		for id := c.first; id <= 8; id++ {
			if e := o.next(c.from); e.id != fmt.Sprint(id) || e.data["seq"] != float64(id) || e.data["call"] != "c" {
				t.Errorf("%s: %+v, want number %d", name, e, id)
			}
		}
	}
	if e := o.next(o.listen("", "Last-Event-ID", "100")); e.name != "reset" || e.id != "8" {
		t.Errorf("from a future that is not ours: %+v", e)
	}
	for _, bad := range []string{"x", "-1", "1.5"} {
		if resp, _, _ := o.do("GET", "/api/v1/events", "vera", "", "Last-Event-ID", bad); resp.StatusCode != 400 {
			t.Errorf("%s: HTTP %d", bad, resp.StatusCode)
		}
	}
}

// Progress of a live call is a hint without a number, and a review is an event with a number. A stream of one call only
// has events of that call.
func TestEventsOfACall(t *testing.T) {
	o := newOffice(t, nil)
	all, one := o.listen(""), o.listen("?call=c2")
	o.must(o.desk.Progress(t.Context(), part("c1")))
	if e := o.next(all); e.name != "call.moved" || e.id != "" || e.data["call"] != "c1" {
		t.Errorf("%+v", e)
	}
	o.flagged("c2")
	o.do("POST", "/api/v1/calls/c2/review", "anna", `{"action":"claim","version":1}`)
	for _, from := range []<-chan sent{all, one} {
		var names []string
		for {
			e := o.next(from)
			if e.data["call"] != "c2" {
				t.Errorf("%+v", e)
			}
			if names = append(names, e.name); e.name == "review.changed" {
				if e.data["actor"] != "reviewer" || e.data["detail"].(map[string]any)["version"] != 2.0 {
					t.Errorf("%+v", e)
				}
				break
			}
		}
		if got := strings.Join(names, " "); !strings.Contains(got, "segment.scored") || !strings.Contains(got, "call.decided") {
			t.Errorf("told: %s", got)
		}
	}
}

// A hundred thousand missed events are not repeated: the client reloads everything.
func TestWhoWasAwayForLongLoadsAgain(t *testing.T) {
	o := newOffice(t, nil)
	o.must(o.store.InTx(t.Context(), func(tx *store.Tx) error {
		for range 10_002 {
			if err := tx.Audit(t.Context(), store.Line{At: begun, What: "x"}); err != nil {
				return err
			}
		}
		return nil
	}))
	if e := o.next(o.listen("", "Last-Event-ID", "1")); e.name != "reset" || e.id != "10002" {
		t.Errorf("%+v", e)
	}
	if e := o.next(o.listen("", "Last-Event-ID", "2")); e.name != "x" || e.id != "3" {
		t.Errorf("%+v", e)
	}
}

func TestTheNumberOfListenersIsBounded(t *testing.T) {
	o := newOffice(t, func(c *review.Config) { c.Streams = 2 })
	o.listen("")
	o.listen("")
	resp, _, body := o.do("GET", "/api/v1/events", "vera", "")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
	if n := o.server.Listening(); n != 2 {
		t.Errorf("%d listen", n)
	}
}

// A user cannot take the event streams of all others.
func TestAUserHasAShareOfTheListeners(t *testing.T) {
	o := newOffice(t, func(c *review.Config) { c.Streams = 200 })
	const share = 200 / 32
	for range share {
		o.listen("")
	}
	resp, _, body := o.do("GET", "/api/v1/events", "vera", "")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "as a user may") {
		t.Errorf("HTTP %d %s", resp.StatusCode, body)
	}
	if n := o.server.Listening(); n != share {
		t.Errorf("%d listen", n)
	}
}

// stuck is a client that reads nothing: a write to it hangs until the deadline.
type stuck struct {
	http.ResponseWriter
	begun   chan struct{}
	once    sync.Once
	release chan struct{}
}

func (s *stuck) SetWriteDeadline(time.Time) error { return nil }
func (s *stuck) FlushError() error                { return nil }
func (s *stuck) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "retry") {
		s.once.Do(func() { close(s.begun) })
		return len(p), nil
	}
	<-s.release
	return 0, errors.New("deadline exceeded")
}

// A client that does not read is disconnected, without an effect on other clients.
func TestASlowClientIsDropped(t *testing.T) {
	o := newOffice(t, nil)
	mux := http.NewServeMux()
	o.server.Register(mux, mux)
	slow := &stuck{ResponseWriter: discard{}, begun: make(chan struct{}), release: make(chan struct{})}
	var done sync.WaitGroup
	done.Go(func() {
		r, _ := http.NewRequestWithContext(context.Background(), "GET", "/api/v1/events", nil)
		r.Header.Set("Authorization", "Bearer vera")
		mux.ServeHTTP(slow, r)
	})
	<-slow.begun
	quick := o.listen("")
	const lines = 2000 // more than the queue holds
	o.must(o.store.InTx(t.Context(), func(tx *store.Tx) error {
		for range lines {
			if err := tx.Audit(t.Context(), store.Line{At: begun, What: "x"}); err != nil {
				return err
			}
		}
		return nil
	}))
	for id := 1; id <= lines; id++ {
		if e := o.next(quick); e.id != fmt.Sprint(id) {
			t.Fatalf("%+v, want %d", e, id)
		}
	}
	for end := time.Now().Add(10 * time.Second); o.server.Listening() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d listen", o.server.Listening())
		}
	}
	close(slow.release)
	done.Wait()
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) WriteHeader(int)             {}
func (discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }

// Events of one node arrive at the streams of other nodes: audit lines with their numbers, and progress of live calls.
func TestEventsOfOtherNodes(t *testing.T) {
	url := storetest.StartPostgres(t).Database()
	o := make([]*office, 2)
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	for i := range o {
		db, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 5})
		if err != nil {
			t.Fatal(err)
		}
		o[i] = openOffice(t, db, t.TempDir(), nil)
	}
	here, there := o[0].listen(""), o[1].listen("")
	// The first poll only records the live calls, so the call progresses until the hint arrives.
	moved := false
	for i := 0; !moved && i < 100; i++ {
		p := part("c1")
		p.Legs = []store.LegProgress{{PartKey: p.PartKey, Leg: "caller", Duration: time.Duration(i) * time.Second}}
		o[0].must(o[0].desk.Progress(t.Context(), p))
		select {
		case e := <-there:
			moved = e.name == "call.moved" && e.id == "" && e.data["call"] == "c1"
		case <-time.After(100 * time.Millisecond):
		}
	}
	if !moved {
		t.Error("the other node does not see that the call moves")
	}
	o[0].line("something.happened")
	for _, from := range []<-chan sent{here, there} {
		for {
			if e := o[0].next(from); e.id == "1" && e.name == "something.happened" {
				break
			}
		}
	}
}
