package whip

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/limit"
)

// table holds the sessions that are open or opening. It is safe for concurrent use.
type table struct {
	most, mostPerToken int
	opening            *limit.Shares[netip.Prefix] // sessions of each client that have not connected yet

	mu       sync.Mutex
	sessions map[string]*session // by the id of the resource
	draining bool
	running  sync.WaitGroup // one for each session
}

const (
	// mostOpening is the part of all sessions that those of one client may be that have not connected yet.
	mostOpening = 8
	// sessionsOfLeg is the number of sessions of a token for one leg: one, and one that takes over from it. A further one ends the
	// oldest that has not connected; a sender that restarts again and again may have one more.
	sessionsOfLeg = 2
)

func newTable(most, mostPerToken int) *table {
	return &table{
		most:         most,
		mostPerToken: mostPerToken,
		opening:      limit.NewShares[netip.Prefix](max(most/mostOpening, 10)),
		sessions:     map[string]*session{},
	}
}

// reserve adds a session, or returns an *intake.Refusal.
func (t *table) reserve(c *session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return &intake.Refusal{RetryAfter: 10 * time.Second, Reason: "the server is shutting down"}
	}
	of, ofLeg := 0, 0
	var idle *session // the oldest of the leg that has not connected
	for _, other := range t.sessions {
		if other.what.Sender.Name == c.what.Sender.Name {
			of++
		}
		if c.what.Sender.Call == "" || c.what.Sender.Leg == "" || other.evicted || !other.what.Sender.Same(c.what.Sender) {
			continue
		}
		ofLeg++
		if !other.connected.Load() && (idle == nil || other.began.Before(idle.began)) {
			idle = other
		}
	}
	limited := func(why string) error {
		return &intake.Refusal{Kind: intake.Limited, RetryAfter: 5 * time.Second, Reason: why}
	}
	switch {
	case len(t.sessions) >= t.most:
		return &intake.Refusal{RetryAfter: 5 * time.Second, Reason: "there are as many sessions as are allowed"}
	case of >= t.mostPerToken:
		return limited("the token has as many sessions as it may (hint: webrtc.max_sessions_per_token)")
	case ofLeg >= sessionsOfLeg && idle != nil:
		idle.evicted = true
		go idle.end(intake.Lost) // endAll waits for it
	case ofLeg > sessionsOfLeg:
		return limited("the token is for one leg, whose sessions are open")
	}
	give, ok := t.opening.Take(limit.Network(c.from))
	if !ok {
		return limited("too many sessions of your address have not connected")
	}
	c.opened = give
	t.sessions[c.id] = c
	t.running.Add(1)
	return nil
}

// release removes a session, once, when nothing of it is running.
func (t *table) release(c *session) {
	c.opened()
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

// of returns the sessions that send a leg, of the senders that may be meant.
func (t *table) of(call, leg string, may func(intake.Sender) bool) (list []*session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.sessions {
		if c.what.Call == call && slices.Contains(c.what.Legs(), leg) && may(c.what.Sender) {
			list = append(list, c)
		}
	}
	return list
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
