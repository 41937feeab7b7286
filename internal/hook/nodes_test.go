package hook_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/internal/hook"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// Each endpoint has its own goroutine: an endpoint that does not answer does not delay the others.
func TestASlowEndpointDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	fast := newEndpoint(t, nil)
	r := newRig(t, nil)
	for i := range 10 {
		r.tell("msg_"+strconv.Itoa(i), "slow", "fast")
	}
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "slow", URL: slow.url}, {Name: "fast", URL: fast.url}}})
	slow.next(t)
	slow.next(t)
	for range 10 {
		if d := r.next(); d.Endpoint != "fast" || d.State != "delivered" {
			t.Errorf("%+v", d)
		}
	}
	if len(slow.got) != 0 {
		t.Errorf("%d more requests to one that has not answered two", len(slow.got))
	}
	close(release)
	for range 10 {
		if d := r.next(); d.Endpoint != "slow" || d.State != "delivered" {
			t.Errorf("%+v", d)
		}
	}
}

// A delivery that is interrupted by the end of the program is repeated with the same id: twice rather than never.
func TestADeliveryThatWasCutOffIsMadeAgain(t *testing.T) {
	t.Parallel()
	first := make(chan struct{}, 1)
	first <- struct{}{}
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-first:
			<-r.Context().Done() // it was taken, but the answer never came
		default:
		}
	})
	r := newRig(t, nil)
	cfg := hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}}
	r.run(cfg)
	r.tell("msg_1", "crm")
	before := e.next(t)
	r.stop()
	r.run(cfg) // again, on the same database
	r.none()   // the attempt of the other may still be under way
	r.advance(2 * time.Minute)
	after := e.next(t)
	if d := r.next(); d.State != "delivered" || d.Attempts != 2 {
		t.Errorf("%+v", d)
	}
	if a, b := before.header.Get("webhook-id"), after.header.Get("webhook-id"); a != b || before.body != after.body {
		t.Errorf("%s %s", a, b)
	}
}

// The database fails right after or right before a delivery: the message is neither lost nor given up, and what was delivered is
// not delivered again.
func TestADatabaseThatFailsLosesNoMessage(t *testing.T) {
	t.Parallel()
	e, r := newEndpoint(t, nil), newRig(t, nil)
	broken := errors.New("the database is gone")
	r.store.fail(broken, nil)
	r.tell("msg_1", "crm")
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}})
	if d := r.next(); d.State != "delivered" { // which could not be noted
		t.Errorf("%+v", d)
	}
	if d := r.next(); d.State != "delivered" || d.Attempts != 1 { // the same result
		t.Errorf("%+v", d)
	}
	r.advance(2 * time.Minute) // past the lease
	r.none()
	r.store.fail(nil, broken)
	r.tell("msg_2", "crm")
	if d := r.next(); d.State != "pending" {
		t.Errorf("%+v", d)
	}
	r.advance(2 * time.Minute)
	if d := r.next(); d.State != "delivered" {
		t.Errorf("%+v", d)
	}
	var ids []string
	for range 2 {
		ids = append(ids, e.next(t).header.Get("webhook-id"))
	}
	if got := strings.Join(ids, " "); got != "msg_1 msg_2" || !strings.Contains(r.log.String(), "the database is gone") {
		t.Error(got, r.log.String())
	}
}

// A node that was frozen between a claim and its request does not send it: another one may have delivered the message. The
// simulation found it in one of 2,584 worlds.
func TestAFrozenNodeDeliversNothing(t *testing.T) {
	t.Parallel()
	e, r := newEndpoint(t, nil), newRig(t, nil)
	var frozen atomic.Bool
	claimed := make(chan struct{}, 2)
	r.store.asked = func() { // between the claim and the request
		claimed <- struct{}{}
		frozen.Store(len(claimed) == 1)
	}
	r.tell("msg_1", "crm")
	r.run(hook.Config{
		Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}},
		Held:      func() bool { return !frozen.Load() },
	})
	for len(claimed) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	r.none()
	frozen.Store(false)
	r.none()
	r.advance(2 * time.Minute) // past the lease of the claim
	e.next(t)
	if d := r.next(); d.State != "delivered" || d.Attempts != 2 {
		t.Errorf("%+v", d)
	}
}

// Flush waits for what is due, and for nothing else.
func TestFlush(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	r := newRig(t, nil)
	r.tell("msg_1", "crm", "not-configured-any-more")
	r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}})
	flushed := make(chan struct{})
	go func() { r.hooks.Flush(t.Context()); close(flushed) }()
	e.next(t)
	select {
	case <-flushed:
		t.Error("a delivery is under way")
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	select {
	case <-flushed:
	case <-time.After(patience):
		t.Fatal("nothing is due, but it waits")
	}
	if d := r.next(); d.State != "delivered" {
		t.Errorf("%+v", d)
	}
	hook.NewDispatcher(hook.Config{Store: r.store}).Flush(t.Context()) // without endpoints
}

// Several nodes share the deliveries, and none is made twice.
func TestNodesShareDeliveries(t *testing.T) {
	t.Parallel()
	server := storetest.StartPostgres(t)
	url := server.Database()
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("webhook-id")]++
	})
	const messages = 100
	var nodes []*rig
	for range 2 {
		s, err := store.Open(t.Context(), store.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		nodes = append(nodes, newRig(t, s))
	}
	for i := range messages {
		nodes[0].tell("msg_"+strconv.Itoa(i), "crm")
	}
	for _, r := range nodes {
		r.advance(time.Minute)
		r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}})
	}
	for range messages {
		select {
		case d := <-nodes[0].store.saved:
			checkDelivered(t, d)
		case d := <-nodes[1].store.saved:
			checkDelivered(t, d)
		case <-time.After(patience):
			t.Fatalf("%d of %d messages", len(seen), messages)
		}
	}
	for _, r := range nodes {
		r.stop()
		if n, _, _ := r.hooks.Counts(); n == 0 {
			t.Error("a node has delivered nothing")
		}
	}
	if len(seen) != messages {
		t.Errorf("%d messages", len(seen))
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", id, n)
		}
	}
}

func checkDelivered(t *testing.T, d store.Delivery) {
	t.Helper()
	if d.State != "delivered" || d.Attempts != 1 {
		t.Errorf("%+v", d)
	}
}
