package intake

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"callscreen/internal/screen"
)

// Config describes an Intake.
type Config struct {
	Calls *screen.Live
	// Room reports why nothing can be recorded, nil while there is room.
	Room func() error
	// Observe, if not nil, gets a step for each leg that has left.
	Observe func(screen.Step)
	Log     *slog.Logger
}

// Intake accepts legs. It is safe for concurrent use.
type Intake struct {
	cfg Config

	mu sync.Mutex
	// holders has the open sessions by call and leg, all of one sender. The first one holds the leg: it records, or has announced it.
	holders map[[2]string][]*LegSession
	last    map[[2]string]Sender // of legs that are or were recorded in a call that goes on
}

// New returns an Intake.
func New(cfg Config) *Intake {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(screen.Step) {}
	}
	return &Intake{cfg: cfg, holders: map[[2]string][]*LegSession{}, last: map[[2]string]Sender{}}
}

// Accept joins a leg to its call. The leg must be closed. The error is a *Refusal.
//
// A leg has one sender. A second session of the same sender is accepted, and takes the leg over with its first packet: the
// sender has reconnected, and its old session is dead or about to be. Another sender is refused.
func (i *Intake) Accept(_ context.Context, r Request) (*LegSession, error) {
	if err := i.cfg.Room(); err != nil {
		i.cfg.Log.Error("leg refused", "call", r.Call, "leg", r.Leg, "error", err)
		return nil, &Refusal{RetryAfter: 30 * time.Second, Reason: err.Error()}
	}
	l := &LegSession{intake: i, request: r, joined: time.Now()}
	if err := i.reserve(l); err != nil {
		return nil, err
	}
	session, err := i.cfg.Calls.Join(screen.Announced{
		Call:     r.Call,
		Legs:     r.Legs(),
		Metadata: r.metadata(),
		Bound:    r.Sender.Leg != "",
	})
	if err != nil {
		i.release(l)
		return nil, &Refusal{RetryAfter: 10 * time.Second, Reason: err.Error()}
	}
	l.session = session
	i.cfg.Log.Info("leg joined", "call", r.Call, "leg", r.Leg)
	return l, nil
}

// reserve notes a session of its legs. It holds those that have none. It returns a refusal if another sender holds one.
func (i *Intake) reserve(l *LegSession) error {
	r := l.request
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range r.Legs() {
		sessions := i.holders[[2]string{r.Call, name}]
		if len(sessions) == 0 || sessions[0].request.Sender.Same(r.Sender) {
			continue
		}
		i.cfg.Log.Warn("leg refused: another sender holds it", "call", r.Call, "leg", name, "sender", r.Sender.Name,
			"holder", sessions[0].request.Sender.Name)
		if c := i.cfg.Calls.Call(r.Call); c != nil {
			c.Warn(fmt.Sprintf("leg %s: a session of another sender (%s) was refused", name, r.Sender.Name))
		}
		return &Refusal{Kind: Taken, Reason: "another sender records this leg (hint: is the call id or the leg used twice?)"}
	}
	for _, name := range r.Legs() {
		key := [2]string{r.Call, name}
		i.holders[key] = append(i.holders[key], l)
		i.last[key] = r.Sender
	}
	if len(i.last) > 2*len(i.holders)+1000 {
		maps.DeleteFunc(i.last, func(key [2]string, _ Sender) bool { return i.holders[key] == nil && i.cfg.Calls.Call(key[0]) == nil })
	}
	return nil
}

// Controller returns the sender that records a leg or, while its call goes on, did so last: a pause must not be changed by another sender
// while the one of the leg connects again.
func (i *Intake) Controller(call, leg string) (Sender, bool) {
	if s, ok := i.Holder(call, leg); ok {
		return s, true
	}
	if i.cfg.Calls.Call(call) == nil {
		return Sender{}, false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	s, ok := i.last[[2]string{call, leg}]
	return s, ok
}

// Holder returns the sender that records a leg, false if there is none.
func (i *Intake) Holder(call, leg string) (Sender, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if sessions := i.holders[[2]string{call, leg}]; len(sessions) > 0 {
		return sessions[0].request.Sender, true
	}
	return Sender{}, false
}

// hold makes a session the holder of its legs: it has begun to send.
func (i *Intake) hold(l *LegSession) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range l.request.Legs() {
		key := [2]string{l.request.Call, name}
		if slices.Contains(i.holders[key], l) { // otherwise it has ended
			i.holders[key] = append([]*LegSession{l}, without(i.holders[key], l)...)
		}
	}
}

// release ends the hold of a session on its legs. The next session of its sender holds them, if there is one.
func (i *Intake) release(l *LegSession) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, name := range l.request.Legs() {
		key := [2]string{l.request.Call, name}
		if i.holders[key] = without(i.holders[key], l); len(i.holders[key]) == 0 {
			delete(i.holders, key)
		}
	}
}

func without(sessions []*LegSession, l *LegSession) []*LegSession {
	return slices.DeleteFunc(slices.Clone(sessions), func(other *LegSession) bool { return other == l })
}
