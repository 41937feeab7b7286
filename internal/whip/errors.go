package whip

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/limit"
	"callscreen/internal/problem"
)

// about returns the call and the leg of a request. The address of a session is a secret and must not be logged.
func (s *Server) about(r *http.Request) (call, leg string) {
	if c := s.sessions.find(r.PathValue("id")); c != nil {
		return c.what.Call, c.what.Leg
	}
	return r.PathValue("call"), r.PathValue("leg")
}

// answerError writes the answer for an error.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var no *refused
	var refusal *intake.Refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &no):
		problem.Write(w, no.status, no.text)
	case errors.As(err, &refusal):
		if refusal.Kind == intake.Limited {
			s.cfg.Limited.Note(limit.OfSessions, s.cfg.Client(r))
		}
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((refusal.RetryAfter+time.Second-1)/time.Second)))
		}
		problem.Write(w, statusOf(refusal.Kind), refusal.Reason)
	case errors.As(err, &large):
		problem.Write(w, http.StatusRequestEntityTooLarge, "the body is larger than 64 KiB")
	case r.Context().Err() != nil:
		problem.Write(w, http.StatusRequestTimeout, "the request took too long")
	default:
		call, leg := s.about(r)
		s.cfg.Log.Warn("WHIP request failed", "method", r.Method, "call", call, "leg", leg, "error", err)
		problem.Write(w, http.StatusInternalServerError, "internal error")
	}
}

// body returns the body of a request with the given content type.
func body(w http.ResponseWriter, r *http.Request, want string) (string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != want {
		return "", refuse(http.StatusUnsupportedMediaType, "the content type is %q, want %s", r.Header.Get("Content-Type"), want)
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxSDP))
	return string(data), err
}

// statusOf returns the HTTP status of a refusal.
func statusOf(k intake.Kind) int {
	switch k {
	case intake.Taken:
		return http.StatusConflict
	case intake.Invalid:
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
