// Package review is what people and other programs see of calls: the API and the page.
package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// Config says what a server shows.
type Config struct {
	Node    string // the name of this node
	Decider *screen.Decider
	Store   *store.Store
	Audio   audio.Store
	Board   *Board
	// Begun tells of a call that is being recorded on this node, which the database may not know yet.
	Begun func(call string) (report.CallReport, bool)
	// Erase removes everything about a call.
	Erase func(ctx context.Context, call, who, why string) error
	// Require lets a request pass whose sender has a role.
	Require func(role string, next http.HandlerFunc) http.HandlerFunc
	// Streams is how many may listen to events at a time. Default 256.
	Streams int
	Log     *slog.Logger
	Now     func() time.Time
}

// Server answers questions about calls.
type Server struct {
	cfg     Config
	events  *feed
	peaks   *peakCache
	drawing drawing
	trials  chan struct{} // a place for each that may run
	pages   pages
	assets  assets
}

// NewServer makes a server.
func NewServer(cfg Config) (_ *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Streams == 0 {
		cfg.Streams = 256
	}
	s := &Server{
		cfg:     cfg,
		events:  newFeed(cfg),
		peaks:   newPeakCache(peakCacheBytes),
		drawing: make(drawing, 1),
		trials:  make(chan struct{}, trialsAtATime),
	}
	if s.pages, err = parsePages(); err != nil {
		return nil, fmt.Errorf("pages: %w", err)
	}
	if s.assets, err = readAssets(); err != nil {
		return nil, fmt.Errorf("files of the pages: %w", err)
	}
	return s, nil
}

// Run tells those who listen what happens, until the context ends; then it sends them away.
func (s *Server) Run(ctx context.Context) error { return s.events.run(ctx) }

// Listening is how many listen to events.
func (s *Server) Listening() int { return s.events.listening() }

// handler answers a request, or says with an error how to.
type handler = func(http.ResponseWriter, *http.Request) error

type route struct {
	pattern, role string // no role: for everybody
	handler       handler
	page          bool // answers people, not programs
}

func (s *Server) routes() []route {
	return []route{
		{"GET /api/v1/calls", "viewer", s.list, false},
		{"GET /api/v1/calls/{call}", "viewer", s.call, false},
		{"DELETE /api/v1/calls/{call}", "admin", s.erase, false},
		{"GET /api/v1/calls/{call}/decision", "viewer", s.decision, false},
		{"GET /api/v1/calls/{call}/history", "viewer", s.history, false},
		{"GET /api/v1/calls/{call}/waveform", "viewer", s.waveform, false},
		{"POST /api/v1/calls/{call}/review", "reviewer", s.review, false},
		{"GET /api/v1/segments/{id}/audio", "viewer", s.audio, false},
		{"GET /api/v1/events", "viewer", s.stream, false},
		{"GET /api/v1/openapi.json", "", s.openAPI, false},
		{"GET /api/v1/webhooks/dead", "admin", s.deadLetters, false},
		{"POST /api/v1/webhooks/dead/{message}/{endpoint}/replay", "admin", s.replay, false},
		{"POST /api/v1/webhooks/endpoints/{endpoint}/enable", "admin", s.enable, false},
		{"GET /{$}", "viewer", s.listPage, true},
		{"GET /calls/{call}", "viewer", s.showCall, true},
		{"POST /calls/{call}/review", "reviewer", s.submitReview, true},
		{"GET " + trialPath, "reviewer", s.trial, true},
		{"GET /static/{file}", "", s.static, true},
	}
}

// Register adds what the server answers to a mux, and what it answers to admins only to another, which may be the same.
func (s *Server) Register(public, admin *http.ServeMux) {
	for _, r := range s.routes() {
		h := s.answering(r.handler)
		if r.page {
			h = s.showing(r.handler)
		}
		if r.role != "" {
			h = s.cfg.Require(r.role, h)
		}
		mux := public
		if r.role == "admin" {
			mux = admin
		}
		mux.HandleFunc(r.pattern, h)
	}
}

// Patterns lists what Register adds, for those who describe it.
func (s *Server) Patterns() (list []string) {
	for _, r := range s.routes() {
		list = append(list, r.pattern)
	}
	return list
}

// refused is an error that a handler answers with.
type refused struct {
	status int
	detail string
	extra  map[string]any // members of the answer's own
}

func (e *refused) Error() string { return e.detail }

func bad(detail string) error { return refuse(http.StatusBadRequest, detail) }

func refuse(status int, detail string) error { return &refused{status: status, detail: detail} }

// answering turns the error of a handler into an answer.
func (s *Server) answering(handler handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := handler(w, r)
		var no *refused
		switch {
		case err == nil || r.Context().Err() != nil: // nobody listens
		case errors.As(err, &no):
			problem.With(w, no.status, no.detail, no.extra)
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
func (s *Server) Report(ctx context.Context, call string) (report.CallReport, error) {
	r, err := s.cfg.Decider.Report(ctx, call)
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
func (s *Server) Wait(ctx context.Context, call string, done func(report.CallReport) bool) (report.CallReport, error) {
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
