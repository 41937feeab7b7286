package whip

import (
	"net/http"
	"strings"

	"callscreen/internal/intake"
	"callscreen/internal/problem"
)

func notThisCall() error {
	return refuse(http.StatusForbidden, "the token is good for another call or leg")
}

// identify returns the sender of a request, if its token is good.
func (s *Server) identify(r *http.Request) (who intake.Sender, ok bool) {
	if s.cfg.Auth == nil {
		return intake.Sender{}, true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") {
		who, ok = s.cfg.Auth(r.Context(), strings.TrimSpace(token))
	}
	return who, ok
}

// authorized returns the sender of a request. Without a good token it answers 401 and returns false.
func (s *Server) authorized(w http.ResponseWriter, r *http.Request) (who intake.Sender, ok bool) {
	if who, ok = s.identify(r); !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="callscreen"`)
		problem.Write(w, http.StatusUnauthorized, "a bearer token for ingest is needed")
	}
	return who, ok
}
