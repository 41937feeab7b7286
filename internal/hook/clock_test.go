package hook_test

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"callscreen/internal/hook"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// A node whose clock is two minutes ahead does not take a request of another node for one that was given up.
func TestAClockThatIsAheadSendsNothingTwice(t *testing.T) {
	t.Parallel()
	url := storetest.StartPostgres(t).Database()
	if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	begun := make(chan struct{}, 100)
	e := newEndpoint(t, func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("webhook-id")]++
		mu.Unlock()
		begun <- struct{}{}
		select {
		case <-time.After(3 * time.Second): // a slow receiver, so that the other node looks several times
		case <-r.Context().Done():
		}
	})
	var nodes []*rig
	for _, ahead := range []time.Duration{0, 2 * time.Minute, -2 * time.Minute} {
		s, err := store.Open(t.Context(), store.Options{URL: url, Clock: func() time.Time { return time.Now().Add(ahead) }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		r := newRig(t, s)
		r.advance(ahead)
		nodes = append(nodes, r)
	}
	const messages = 2 // of which each is under way at once
	for i := range messages {
		nodes[i].tell("msg_"+strconv.Itoa(i), "crm")
	}
	for i, r := range nodes {
		r.run(hook.Config{Endpoints: []hook.Endpoint{{Name: "crm", URL: e.url}}, Due: r.store.Due})
		for range messages {
			if i > 0 { // the others look for work while the first node waits for its answers
				break
			}
			select {
			case <-begun:
			case <-time.After(patience):
				t.Fatal("no request came")
			}
		}
	}
	for range messages {
		select {
		case d := <-nodes[0].store.saved:
			checkDelivered(t, d)
		case d := <-nodes[1].store.saved:
			checkDelivered(t, d)
		case d := <-nodes[2].store.saved:
			checkDelivered(t, d)
		case <-time.After(patience):
			t.Fatalf("%v", seen)
		}
	}
	for _, r := range nodes {
		r.stop()
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was sent %d times", id, n)
		}
	}
	if len(seen) != messages {
		t.Error(seen)
	}
}
