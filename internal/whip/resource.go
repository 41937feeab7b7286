package whip

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"callscreen/internal/problem"
)

// resource handles the requests to a session.
func (s *Server) resource(w http.ResponseWriter, r *http.Request) {
	c := s.sessions.find(r.PathValue("id"))
	if !s.admitted(w, r, c) {
		return
	}
	if r.Method == http.MethodOptions {
		w.Header().Set("Accept-Patch", fragmentType)
		w.Header().Set("Allow", "OPTIONS, PATCH, DELETE")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	who, ok := s.authorized(w, r)
	if !ok {
		return
	}
	// A session of another sender looks like none.
	if c == nil || c.what.Sender.Name != who.Name {
		problem.Write(w, http.StatusNotFound, "there is no such session")
		return
	}
	if !who.May(c.what) {
		s.answerError(w, r, notThisCall())
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.WriteHeader(http.StatusNoContent)
	case http.MethodDelete:
		how := c.departure()
		c.linger()
		c.end(how)
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		if err := s.patch(w, r, c); err != nil {
			s.answerError(w, r, err)
		}
	default:
		w.Header().Set("Allow", "OPTIONS, PATCH, DELETE")
		problem.Write(w, http.StatusMethodNotAllowed, "a session takes PATCH and DELETE")
	}
}

// patch adds candidates to a session, or restarts its ICE. RFC 9725 section 4.3.
func (s *Server) patch(w http.ResponseWriter, r *http.Request, c *session) error {
	text, err := body(w, r, fragmentType)
	if err != nil {
		return err
	}
	f, err := readFragment(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	if err := checkICEText(f.ufrag, f.pwd); err != nil {
		return err
	}
	c.negotiation.Lock()
	defer c.negotiation.Unlock()
	restart := c.isRestart(f)
	if err := c.count(f, restart); err != nil {
		return err
	}
	match := strings.Join(r.Header.Values("If-Match"), ",")
	switch {
	case match == "" && s.cfg.StrictPreconditions:
		return refuse(http.StatusPreconditionRequired, "If-Match is missing (hint: the ETag of the session, or * for an ICE restart)")
	case match == "":
		s.stats.lenient.Add(1)
	case strings.TrimSpace(match) == "*" && restart, matches(match, c.etag):
	default:
		return refuse(http.StatusPreconditionFailed, "If-Match is not the ETag of the session")
	}
	defer c.budget.Add(len(text))
	if !restart {
		if err := c.trickle(f); err != nil {
			return refuse(http.StatusBadRequest, "a candidate cannot be used: %v", err)
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	answer, err := c.restart(r.Context(), f)
	if err != nil {
		s.cfg.Log.Warn("ICE restart failed, session unchanged", "call", c.what.Call, "leg", c.what.Leg, "error", err)
		return refuse(http.StatusUnprocessableEntity, "the restart failed; the session is unchanged")
	}
	w.Header().Set("Content-Type", fragmentType)
	w.Header().Set("ETag", c.etag)
	_, _ = io.WriteString(w, answer)
	return nil
}

// entityTag matches one of a list, RFC 9110 section 8.8.3.
var entityTag = regexp.MustCompile(`(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`)

// matches reports whether a list of entity tags holds one. The comparison is strong, so that a weak tag never matches
// (RFC 9110 section 13.1.1).
func matches(list, etag string) bool {
	return slices.Contains(entityTag.FindAllString(list, -1), etag)
}
