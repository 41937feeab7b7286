package whip

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/sdp/v3"
)

const (
	mostMedia      = 16   // sections of an offer; a browser that sends one track and more has two or three
	mostAttributes = 2000 // of an offer in all; those of browsers have about a hundred
	mostCandidates = 200  // of a sender in all, until it begins ICE anew
	mostRestarts   = 1000 // of a session

	requestsPerSecond = 10 // to one session
	requestsAtOnce    = 100
)

// admitted tells whether a request may be looked at now, or answers it. What is sent to an open session counts for that
// session alone: nobody else knows its address, so nobody who floods the server from the same network can keep a sender
// from hanging up, and hanging up is always possible.
func (s *Server) admitted(w http.ResponseWriter, r *http.Request, c *session) bool {
	now, why := time.Now(), "too many requests come from your address (hint: webrtc.requests_per_second)"
	switch {
	case c != nil && r.Method == http.MethodDelete:
		return true
	case c != nil:
		if c.requests.AllowN(now, 1) {
			return true
		}
		why = "too many requests are made to the session"
	case s.rates.Allow(s.cfg.Client(r), now):
		return true
	default:
		s.stats.refused.Add(1)
	}
	w.Header().Set("Retry-After", "1")
	s.answerError(w, r, refuse(http.StatusTooManyRequests, "%s", why))
	return false
}

// peer is the address at the other end of the connection.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap().WithZone("")
}

// checkSize refuses offers that fit into 64 KiB and would cost far more than that.
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
		return refuse(http.StatusUnprocessableEntity, "the offer has more attributes or candidates than anybody needs")
	}
	return nil
}

// count bounds what a session may ask of ICE. negotiation must be held.
func (c *session) count(f *fragment, restart bool) error {
	if restart {
		if c.restarts >= mostRestarts {
			return refuse(http.StatusTooManyRequests, "the session has begun ICE anew too often")
		}
		c.restarts++
		c.candidates = 0
	}
	if c.candidates += len(f.candidates); c.candidates > mostCandidates {
		return refuse(http.StatusTooManyRequests, "the session has more candidates than anybody needs")
	}
	return nil
}
