package review

import (
	"errors"
	"net/http"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/store"
)

// deadLetter is an undeliverable message. The body is left out, because the call has the same content.
type deadLetter struct {
	Message   string    `json:"message"`
	Endpoint  string    `json:"endpoint"`
	Event     string    `json:"event"`
	Call      string    `json:"call"`
	CreatedAt time.Time `json:"created_at"`
	GivenUpAt time.Time `json:"given_up_at"`
	Attempts  int       `json:"attempts"`
	Status    int       `json:"last_status"`
	Error     string    `json:"last_error"`
}

func (s *Server) deadLetters(w http.ResponseWriter, r *http.Request) error {
	list, err := s.cfg.Store.DeadLetters(r.Context(), 1000)
	if err != nil {
		return err
	}
	out := []deadLetter{}
	for _, d := range list {
		out = append(out, deadLetter{d.ID, d.Endpoint, d.Event, d.Call, d.CreatedAt, d.SettledAt, d.Attempts, d.LastStatus, d.LastError})
	}
	return answer(w, map[string]any{"dead": out})
}

// replay queues a dead letter again.
func (s *Server) replay(w http.ResponseWriter, r *http.Request) error {
	err := s.cfg.Store.Replay(r.Context(), r.PathValue("message"), r.PathValue("endpoint"), auth.Actor(r.Context()), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "no such dead letter")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// enable resumes deliveries to an endpoint that was disabled after 410 Gone.
func (s *Server) enable(w http.ResponseWriter, r *http.Request) error {
	err := s.cfg.Store.EnableEndpoint(r.Context(), r.PathValue("endpoint"), auth.Actor(r.Context()), time.Now())
	if errors.Is(err, store.ErrNotFound) {
		return refuse(http.StatusNotFound, "no disabled endpoint has this name")
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
