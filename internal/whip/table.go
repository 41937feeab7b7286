package whip

import (
	"sync"
	"time"

	"callscreen/internal/intake"
)

// table holds the sessions that are open or opening. It is safe for concurrent use.
type table struct {
	most, mostPerToken int

	mu       sync.Mutex
	sessions map[string]*session // by the id of the resource
	draining bool
	running  sync.WaitGroup // one for each session
}

func newTable(most, mostPerToken int) *table {
	return &table{most: most, mostPerToken: mostPerToken, sessions: map[string]*session{}}
}

// reserve adds a session, or returns an *intake.Refusal.
func (t *table) reserve(c *session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return &intake.Refusal{RetryAfter: 10 * time.Second, Reason: "the server is shutting down"}
	}
	mine := 0
	for _, other := range t.sessions {
		if other.what.Sender.Name == c.what.Sender.Name {
			mine++
		}
	}
	if len(t.sessions) >= t.most || mine >= t.mostPerToken {
		return &intake.Refusal{RetryAfter: 5 * time.Second, Reason: "there are as many sessions as are allowed"}
	}
	t.sessions[c.id] = c
	t.running.Add(1)
	return nil
}

// release removes a session, once, when nothing of it is running.
func (t *table) release(c *session) {
	t.mu.Lock()
	delete(t.sessions, c.id)
	t.mu.Unlock()
	t.running.Done()
}

// find returns the session of a resource, or nil.
func (t *table) find(id string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sessions[id]
}

// of returns a session of a leg, or nil.
func (t *table) of(call, leg string) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.sessions {
		if c.what.Call == call && c.what.Leg == leg {
			return c
		}
	}
	return nil
}

// size returns the number of sessions.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sessions)
}

// drain makes reserve refuse all sessions.
func (t *table) drain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.draining = true
}

// endAll ends all sessions and waits for them. drain must come first.
func (t *table) endAll() {
	t.mu.Lock()
	open := make([]*session, 0, len(t.sessions))
	for _, c := range t.sessions {
		open = append(open, c)
	}
	t.mu.Unlock()
	for _, c := range open {
		c.end(intake.Lost)
	}
	t.running.Wait()
}
