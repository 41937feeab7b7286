// Package review is what people and other programs see of calls: the API and the page.
package review

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/problem"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// Config says what a server shows.
type Config struct {
	Node  string // the name of this node
	Desk  *screen.Desk
	Store *store.Store
	Audio audio.Store
	Board *Board
	// Begun tells of a call that is being recorded on this node, which the database may not know yet.
	Begun func(call string) (screen.LiveReport, bool)
	// Erase removes everything about a call.
	Erase func(ctx context.Context, call, who, why string) error
	// Require lets a request pass whose sender has a role.
	Require func(role string, next http.HandlerFunc) http.HandlerFunc
	Log     *slog.Logger
}

// Server answers questions about calls.
type Server struct{ cfg Config }

// NewServer makes a server.
func NewServer(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{cfg: cfg}
}

// Register adds what the server answers to a mux.
func (s *Server) Register(mux *http.ServeMux) {
	for _, route := range []struct {
		pattern, role string
		handler       func(http.ResponseWriter, *http.Request) error
	}{
		{"GET /api/v1/calls", "viewer", s.list},
		{"GET /api/v1/calls/{call}", "viewer", s.show},
		{"DELETE /api/v1/calls/{call}", "admin", s.erase},
		{"GET /api/v1/calls/{call}/decision", "viewer", s.decision},
		{"GET /api/v1/segments/{id}/audio", "viewer", s.audio},
		{"GET /api/v1/webhooks/dead", "admin", s.deadLetters},
		{"POST /api/v1/webhooks/dead/{message}/{endpoint}/replay", "admin", s.replay},
		{"POST /api/v1/webhooks/endpoints/{endpoint}/enable", "admin", s.enable},
		{"GET /{$}", "viewer", s.page},
	} {
		mux.HandleFunc(route.pattern, s.cfg.Require(route.role, s.answering(route.handler)))
	}
}

// refused is an error that a handler answers with.
type refused struct {
	status int
	detail string
}

func (e *refused) Error() string { return e.detail }

func bad(detail string) error { return &refused{http.StatusBadRequest, detail} }

// answering turns the error of a handler into an answer.
func (s *Server) answering(handler func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := handler(w, r)
		var no *refused
		switch {
		case err == nil || r.Context().Err() != nil: // nobody listens
		case errors.As(err, &no):
			problem.Write(w, no.status, no.detail)
		case errors.Is(err, store.ErrNotFound):
			problem.Write(w, http.StatusNotFound, "there is no such call")
		case errors.Is(err, store.ErrConflict):
			problem.Write(w, http.StatusConflict, err.Error())
		default:
			s.cfg.Log.Error("a request could not be answered", "path", r.Pattern, "error", err)
			w.Header().Set("Retry-After", "5")
			problem.Write(w, http.StatusServiceUnavailable, "the database or the audio store does not answer (hint: see /readyz)")
		}
	}
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
	return nil
}

// Report is what is known of a call now, on this node or in the database. It is store.ErrNotFound if there is none.
func (s *Server) Report(ctx context.Context, call string) (screen.LiveReport, error) {
	r, err := s.cfg.Desk.Report(ctx, call)
	if err == nil {
		return r, nil
	}
	if begun, ok := s.cfg.Begun(call); ok { // the database does not know it yet, or does not answer
		return begun, nil
	}
	return r, err
}

// lookAgain is how often it is looked for news that another node has written.
const lookAgain = time.Second

// Wait returns what is known of a call once done says so of it, or when the context ends.
func (s *Server) Wait(ctx context.Context, call string, done func(screen.LiveReport) bool) (screen.LiveReport, error) {
	for {
		changed, leave := s.cfg.Board.Watch(call)
		r, err := s.Report(context.WithoutCancel(ctx), call)
		if err != nil || done(r) || ctx.Err() != nil {
			leave()
			return r, err
		}
		t := time.NewTimer(lookAgain)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
		leave()
	}
}
