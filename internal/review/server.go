// Package review is the review API and the review page.
package review

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/limit"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// Config configures a server.
type Config struct {
	Node    string // name of this node
	Decider *screen.Decider
	Store   *store.Store
	Audio   audio.Store
	Board   *Board
	// Begun returns the report of a call that is being recorded on this node, which may not be in the database yet.
	Begun func(call string) (report.CallReport, bool)
	// Erase removes all data of a call.
	Erase func(ctx context.Context, call, who, why string) error
	// Require accepts requests whose sender has a role.
	Require func(role string, next http.HandlerFunc) http.HandlerFunc
	// Streams is the maximum number of event streams. Default: 1024. A user has at most a thirty-second of them, and
	// an address a quarter.
	Streams int
	// Client returns the address of a request. nil: they are not told apart.
	Client func(*http.Request) netip.Addr
	// Limited counts clients that have as many streams as they may.
	Limited *limit.Refusals
	Log     *slog.Logger
	Now     func() time.Time
}

// Server serves the API and the pages.
type Server struct {
	cfg     Config
	events  *feed
	peaks   *peakCache
	drawing drawing
	trials  chan struct{} // semaphore of concurrent backtests
	refused atomic.Int64  // reads of audio
	heard   heard
	pages   pages
	assets  assets
}

// NewServer returns a server. Run must be called for events.
func NewServer(cfg Config) (_ *Server, err error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Streams == 0 {
		cfg.Streams = 1024
	}
	if cfg.Client == nil {
		cfg.Client = func(*http.Request) netip.Addr { return netip.Addr{} }
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

// Run sends events to all streams until the context ends, and then closes the streams.
func (s *Server) Run(ctx context.Context) error { return s.events.run(ctx) }

// Listening returns the number of event streams.
func (s *Server) Listening() int { return s.events.listening() }

// handler handles a request. An error becomes the answer.
type handler = func(http.ResponseWriter, *http.Request) error

type route struct {
	pattern, role string // "" needs no role
	handler       handler
	page          bool // answers with a page, not with JSON
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
		{"POST /api/v1/segments/{id}/resend", "admin", s.resend, false},
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

// Register adds the routes to a mux, and those of the role admin to another one, which may be the same.
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

// Patterns returns the patterns of Register, for the API description.
func (s *Server) Patterns() (list []string) {
	for _, r := range s.routes() {
		list = append(list, r.pattern)
	}
	return list
}

// refused is an error with an HTTP status.
type refused struct {
	status int
	detail string
	extra  map[string]any // additional members of the problem body
}

func (e *refused) Error() string { return e.detail }

func bad(detail string) error { return refuse(http.StatusBadRequest, detail) }

func refuse(status int, detail string) error { return &refused{status: status, detail: detail} }

// checked calls a handler with a request whose path and query can be stored and searched for.
func checked(handler handler, w http.ResponseWriter, r *http.Request) error {
	if err := problem.CheckText(r); err != nil {
		return bad(err.Error())
	}
	return handler(w, r)
}

// answering writes the error of a handler as a problem body.
func (s *Server) answering(handler handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := checked(handler, w, r)
		var no *refused
		switch {
		case err == nil || r.Context().Err() != nil: // the client has disconnected
		case errors.As(err, &no):
			problem.With(w, no.status, no.detail, no.extra)
		case errors.Is(err, store.ErrNotFound):
			problem.Write(w, http.StatusNotFound, "no such call")
		case errors.Is(err, store.ErrConflict):
			problem.Write(w, http.StatusConflict, err.Error())
		default:
			s.cfg.Log.Error("answering request failed", "path", r.Pattern, "error", err)
			w.Header().Set("Retry-After", "5")
			problem.Write(w, http.StatusServiceUnavailable, "the database or the audio store does not answer (hint: see /readyz)")
		}
	}
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // the client may have disconnected
	return nil
}

// Report returns the current report of a call, from this node or the database. It returns store.ErrNotFound if there is
// none.
func (s *Server) Report(ctx context.Context, call string) (report.CallReport, error) {
	r, err := s.cfg.Decider.Report(ctx, call)
	if err == nil {
		return r, nil
	}
	if begun, ok := s.cfg.Begun(call); ok { // not in the database yet, or the database does not answer
		return begun, nil
	}
	return r, err
}

// lookAgain is the poll interval for changes by other nodes.
const lookAgain = time.Second

// Wait returns the report of a call as soon as done accepts it, or when the context ends.
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
