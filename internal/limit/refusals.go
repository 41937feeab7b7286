package limit

import (
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"
)

// Refusals counts what is refused because of a limit of one client, and logs each client once in a while. It is safe for concurrent
// use. A nil Refusals does nothing.
type Refusals struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	counts map[Kind]uint64
	logged map[refusal]time.Time
}

// Kind is a limit of one client.
type Kind string

// The limits of one client.
const (
	OfConnections  Kind = "connections"
	OfEventStreams Kind = "event_streams"
	OfRequests     Kind = "requests"
	OfSessions     Kind = "sessions"
	OfSignIns      Kind = "sign_ins"
	OfTokens       Kind = "tokens"
)

type refusal struct {
	limit  Kind
	client netip.Prefix
}

const (
	logAgain   = time.Hour
	mostLogged = 1000 // clients that are remembered; further ones are only counted
)

// NewRefusals returns Refusals that count nothing yet.
func NewRefusals(log *slog.Logger) *Refusals {
	return &Refusals{
		log:    log,
		now:    time.Now,
		counts: map[Kind]uint64{OfConnections: 0, OfEventStreams: 0, OfRequests: 0, OfSessions: 0, OfSignIns: 0, OfTokens: 0},
		logged: map[refusal]time.Time{},
	}
}

// Note counts a refusal of a client.
func (r *Refusals) Note(limit Kind, addr netip.Addr) {
	if r == nil {
		return
	}
	key, now := refusal{limit, Network(addr)}, r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[limit]++
	if at, ok := r.logged[key]; ok && now.Sub(at) < logAgain {
		return
	}
	if len(r.logged) >= mostLogged {
		maps.DeleteFunc(r.logged, func(_ refusal, at time.Time) bool { return now.Sub(at) >= logAgain })
	}
	if len(r.logged) >= mostLogged {
		return
	}
	r.logged[key] = now
	r.log.Warn(
		"client limited",
		"limit",
		limit,
		"address",
		addr,
		"hint",
		"it is logged once an hour; callscreen_clients_limited_total counts; if it is a proxy, see auth.trusted_proxies",
	)
}

// Counts returns the number of refusals by limit, all limits included.
func (r *Refusals) Counts() map[Kind]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.counts)
}
