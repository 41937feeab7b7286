package whip

import (
	"crypto/rand"
	"io"
	"net/http"
	"time"

	"golang.org/x/time/rate"

	"callscreen/internal/intake"
	"callscreen/internal/problem"
	"callscreen/internal/rtc"
)

const (
	maxSDP        = 64 << 10
	sdpType       = "application/sdp"
	fragmentType  = "application/trickle-ice-sdpfrag"
	sessionPrefix = "/whip/session/"
)

// endpoint handles the requests that open sessions.
func (s *Server) endpoint(w http.ResponseWriter, r *http.Request) {
	if !s.admitted(w, r, nil) {
		return
	}
	switch r.Method {
	case http.MethodOptions:
		w.Header().Set("Accept-Post", sdpType)
		w.Header().Set("Allow", "OPTIONS, POST")
		if _, ok := s.identify(r); ok { // the preflight request of a page has no token
			s.nameServers(w.Header())
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent) // RFC 9725 section 4.2
	case http.MethodPost:
		if who, ok := s.authorized(w, r); ok {
			if err := s.open(w, r, who); err != nil {
				s.stats.refused.Add(1)
				s.answerError(w, r, err)
			}
		} else {
			s.stats.refused.Add(1)
		}
	default:
		w.Header().Set("Allow", "OPTIONS, POST")
		problem.Write(w, http.StatusMethodNotAllowed, "the endpoint takes POST")
	}
}

// open opens a session.
func (s *Server) open(w http.ResponseWriter, r *http.Request, who intake.Sender) error {
	text, err := body(w, r, sdpType)
	if err != nil {
		return err
	}
	offer, err := readOffer(text)
	if err != nil {
		return err
	}
	announced, err := intake.Describe(r.PathValue("call"), r.PathValue("leg"), r.URL.RawQuery)
	if err != nil {
		return err
	}
	announced.Sender = who
	if len(announced.Channels) > 0 && !offer.stereo {
		return refuse(http.StatusUnprocessableEntity,
			"channels= needs a stereo track, and no codec of the offer has two channels (hint: offer opus, or a session for each leg)")
	}
	if !who.May(announced) {
		return notThisCall()
	}
	c := &session{
		server:   s,
		id:       rand.Text(),
		what:     announced,
		from:     s.cfg.Client(r),
		began:    time.Now(),
		opened:   func() {},
		requests: rate.NewLimiter(requestsPerSecond, requestsAtOnce),
		budget:   rtc.NewBudget(),
	}
	if err := s.sessions.reserve(c); err != nil {
		return err
	}
	opened := false
	defer func() {
		if !opened { // also after a panic
			c.end(intake.HungUp)
		}
	}()
	if err := c.start(r.Context(), offer); err != nil {
		return err
	}
	opened = true
	s.stats.opened.Add(1)
	h := w.Header()
	h.Set("Content-Type", sdpType)
	h.Set("Location", location(r, c.id))
	h.Set("ETag", c.etag)
	h.Set("Accept-Patch", fragmentType)
	s.nameServers(h)
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, c.answer) // a sender that is gone sends no media
	c.budget.Add(len(text))
	return nil
}
