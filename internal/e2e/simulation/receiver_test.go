package simulation_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// receiver is the system that gets the webhooks of all nodes.
type receiver struct {
	t    *world
	mu   sync.Mutex
	rng  *rand.Rand
	away bool
	slow bool
	got  map[string][]delivery // by message
}

// delivery is a message that the receiver has accepted.
type delivery struct {
	from *node
	at   time.Time // of the answer
}

// wire is the connection of a node to the receiver.
type wire struct {
	r    *receiver
	node *node
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(r *http.Request) (*http.Response, error) {
	defer r.Body.Close()
	if err := w.node.pass(r.Context()); err != nil {
		return nil, err
	}
	w.r.mu.Lock()
	away, slow, lost := w.r.away, w.r.slow, w.r.away && w.r.rng.IntN(2) == 0
	wait := time.Duration(w.r.rng.IntN(300)) * time.Millisecond
	w.r.mu.Unlock()
	if slow {
		wait += 10 * time.Second
	}
	if err := pause(r.Context(), wait); err != nil {
		return nil, err
	}
	status := http.StatusNoContent
	if away {
		status = http.StatusBadGateway
	} else if err := w.node.pass(r.Context()); err != nil { // the answer does not arrive
		return nil, err
	}
	if lost {
		return nil, errReset
	}
	if !away {
		w.r.take(r.Header.Get("Webhook-Id"), w.node)
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

// take notes a message whose answer reached its sender. It must not come again unless its sender was disturbed before it
// could store that.
func (r *receiver) take(id string, from *node) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for _, d := range r.got[id] {
		if !d.from.disturbed(d.at.Add(-time.Minute)) {
			r.t.wrong("message %s came from %s %v after %s had delivered it", id, from.name, now.Sub(d.at), d.from.name)
		}
	}
	r.got[id] = append(r.got[id], delivery{from, now})
}
