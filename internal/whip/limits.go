package whip

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/sdp/v3"

	"callscreen/internal/limit"
)

const (
	mostMedia      = 16   // sections of an offer; browsers send two or three
	mostAttributes = 2000 // of an offer in total; browsers send about a hundred
	mostCandidates = 200  // of a sender in total, until an ICE restart
	mostRestarts   = 1000 // of a session

	requestsPerSecond = 10 // to one session
	requestsAtOnce    = 100
)

// admitted reports whether a request is within the rate limits, or answers it. Requests to an open session count for that
// session alone: only its sender knows the address, so a flood from the same network cannot keep a sender from hanging
// up. DELETE is always admitted.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request, c *session) bool {
	now, why := time.Now(), "too many requests from your address (hint: webrtc.requests_per_second)"
	switch {
	case c != nil && r.Method == http.MethodDelete:
		return true
	case c != nil:
		if c.requests.AllowN(now, 1) {
			return true
		}
		why = "too many requests to the session"
	case s.rates.Allow(s.cfg.Client(r), now):
		return true
	default:
		s.stats.refused.Add(1)
		s.cfg.Limited.Note(limit.OfRequests, s.cfg.Client(r))
	}
	w.Header().Set("Retry-After", "1")
	s.answerError(w, r, refuse(http.StatusTooManyRequests, "%s", why))
	return false
}

// peer returns the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap().WithZone("")
}

// checkSize refuses offers that fit into 64 KiB and would cost far more memory.
func checkSize(d *sdp.SessionDescription) error {
	attributes, candidates := len(d.Attributes), 0
	for _, m := range d.MediaDescriptions {
		attributes += len(m.Attributes)
		for _, a := range m.Attributes {
			if a.Key == "candidate" {
				candidates++
			}
		}
	}
	switch {
	case len(d.MediaDescriptions) > mostMedia:
		return refuse(
			http.StatusUnprocessableEntity,
			"the offer has %d media sections, at most %d are taken",
			len(d.MediaDescriptions),
			mostMedia,
		)
	case attributes > mostAttributes || candidates > mostCandidates:
		return refuse(http.StatusUnprocessableEntity, "the offer has too many attributes or candidates")
	}
	return nil
}

// count limits the candidates and ICE restarts of a session. negotiation must be held.
func (c *session) count(f *fragment, restart bool) error {
	if restart {
		if c.restarts >= mostRestarts {
			return refuse(http.StatusTooManyRequests, "the session has restarted ICE too often")
		}
		c.restarts++
		c.candidates = 0
	}
	if c.candidates += len(f.candidates); c.candidates > mostCandidates {
		return refuse(http.StatusTooManyRequests, "the session has too many candidates")
	}
	return nil
}
