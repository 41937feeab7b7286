package whip

import (
	"net/http"
	"strings"

	"callscreen/internal/problem"
)

// Sender is who presents a token, and which call and leg it is good for; "" is any.
type Sender struct{ Name, Call, Leg string }

// may tells whether a token is good for a session. One for a single leg is not for a track that becomes two.
func (s Sender) may(c Session) bool {
	return (s.Call == "" || s.Call == c.Call) && (s.Leg == "" || s.Leg == c.Leg && len(c.Channels) == 0)
}

func notThisCall() error {
	return refuse(http.StatusForbidden, "the token is good for another call or leg")
}

// identify tells whose request it is, if its token is good.
func (s *Server) identify(r *http.Request) (who Sender, ok bool) {
	if s.cfg.Auth == nil {
		return Sender{}, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		who, ok = s.cfg.Auth(r.Context(), strings.TrimSpace(token))
	}
	return who, ok
}

// authorized tells whose request it is. Without a good token it answers and returns false.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request) (who Sender, ok bool) {
	if who, ok = s.identify(r); !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
		problem.Write(w, http.StatusUnauthorized, "a bearer token for ingest is needed")
	}
	return who, ok
}
