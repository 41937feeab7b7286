package whip

import (
	"math"
	"net/http"
	"sync/atomic"

	"golang.org/x/time/rate"

	"callscreen/internal/intake"
	"callscreen/internal/limit"
	"callscreen/internal/problem"
)

// Server is the WHIP endpoint and its sessions. It is an http.Handler for /whip/.
type Server struct {
	cfg      Config
	mux      *http.ServeMux
	rates    *limit.Table
	sessions *table

	stats struct {
		opened, refused, lost, lenient atomic.Uint64
	}
}

// Stats counts sessions.
type Stats struct {
	Open    int
	Opened  uint64
	Refused uint64 // requests that did not become a session
	Lost    uint64 // ended without a DELETE
	Lenient uint64 // PATCH requests accepted without If-Match
}

// NewServer returns a Server. Close must be called.
func NewServer(cfg Config) *Server {
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:      cfg,
		mux:      http.NewServeMux(),
		rates:    limit.NewTable(rate.Limit(cfg.PerSecond), int(math.Ceil(10*cfg.PerSecond))),
		sessions: newTable(cfg.MaxSessions, cfg.MaxPerToken),
	}
	for _, end := range []string{"", "/{$}"} {
		s.mux.HandleFunc("/whip/{call}/{leg}"+end, s.endpoint)
		s.mux.HandleFunc(sessionPrefix+"{id}"+end, s.resource)
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusNotFound, "there is nothing here (hint: POST to /whip/CALL/LEG)")
	})
	return s
}

// Stats returns the counts since the start.
func (s *Server) Stats() Stats {
	return Stats{
		Open:    s.sessions.size(),
		Opened:  s.stats.opened.Load(),
		Refused: s.stats.refused.Load(),
		Lost:    s.stats.lost.Load(),
		Lenient: s.stats.lenient.Load(),
	}
}

// Drain refuses new sessions. Open ones go on.
func (s *Server) Drain() { s.sessions.drain() }

// Close refuses new sessions, ends all open ones, and waits for them.
func (s *Server) Close() {
	s.sessions.drain()
	s.sessions.endAll()
}

// End ends the sessions of a leg, of the senders that may be meant, like a DELETE of their senders. It returns false if there is none.
func (s *Server) End(call, leg string, may func(intake.Sender) bool) bool {
	list := s.sessions.of(call, leg, may)
	for _, c := range list {
		c.end(intake.HungUp)
	}
	return len(list) > 0
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.cors(w, r)
	s.mux.ServeHTTP(w, r)
}
