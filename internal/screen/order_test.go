package screen_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"callscreen/internal/screen"
)

// The queue of a backlog starts with the first segment of each leg. Further segments of analysed legs follow. Segments that
// could only confirm an existing flag come last.
func TestWhoWasNotHeardYetComesFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	p := n.part("flagged", 0)
	record := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if err := n.courier.Take(p, piece("caller", i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	record(0, 1)
	n.drain()
	g, err := n.store.Segment(t.Context(), n.scoring("flagged").ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.desk.Settle(t.Context(), g, settlement(0.9), nil); err != nil {
		t.Fatal(err)
	}
	record(1, 3)
	n.drain()
	n.call("a", 3)
	n.record(n.part("b", 0), 2)
	n.drain()
	names := map[string]string{}
	for _, call := range []string{"flagged", "a", "b"} {
		for _, s := range n.report(call).Segments {
			names[s.ID] = call + string(rune('0'+s.Seq))
		}
	}
	var mu sync.Mutex
	var order []string
	n.work(func(w *screen.WorkerConfig) {
		w.Observe = func(s screen.Step) {
			if s.Name == screen.StepSubmit {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, names[s.Segment])
			}
		}
	})
	n.final("a")
	n.final("b")
	n.await("all is settled", func() bool {
		return !strings.Contains(states(n.report("flagged")), "recorded") && !strings.Contains(states(n.report("flagged")), "submitted")
	})
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"a0", "b0", "a1", "a2", "b1", "flagged1", "flagged2"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v", order, want)
	}
}
