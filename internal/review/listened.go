package review

import (
	"context"
	"sync"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/store"
)

// heard remembers who has fetched which audio. A player fetches a segment in several requests, which are one line of the
// audit.
type heard struct {
	mu   sync.Mutex
	last map[[2]string]time.Time // by client and segment
}

const (
	sameListening = 15 * time.Minute
	maxHeard      = 4096 // segments that are remembered
)

// first reports whether a client fetches a segment for the first time in a while.
func (h *heard) first(who, segment string, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := [2]string{who, segment}
	if at, ok := h.last[key]; ok && now.Sub(at).Abs() < sameListening {
		return false
	}
	if h.last == nil || len(h.last) >= maxHeard {
		h.last = map[[2]string]time.Time{}
	}
	h.last[key] = now
	return true
}

// listened audits that a client fetches the audio of a segment. Audio that cannot be audited is not played.
func (s *Server) listened(ctx context.Context, g store.SegmentRow) error {
	who, now := auth.Actor(ctx), s.cfg.Now()
	if !s.heard.first(who, g.ID, now) {
		return nil
	}
	err := s.cfg.Store.AddAudit(ctx, store.Line{
		At:      now,
		Actor:   who,
		What:    store.AuditListened,
		Call:    g.Call,
		Segment: g.ID,
	})
	if err != nil {
		s.heard.forget(who, g.ID)
	}
	return err
}

func (h *heard) forget(who, segment string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.last, [2]string{who, segment})
}
