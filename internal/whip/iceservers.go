package whip

import (
	"fmt"
	"net/http"
)

// nameServers adds the STUN and TURN servers to an answer, RFC 9725 section 4.6: to POST, and to OPTIONS for clients that
// need them before the offer. TURN credentials are only for senders with a valid token.
func (s *Server) nameServers(h http.Header) {
	for _, server := range s.cfg.Engine.ICEServers() {
		for _, u := range server.URLs {
			link := fmt.Sprintf(`<%s>; rel="ice-server"`, u)
			if server.Username != "" {
				link += fmt.Sprintf(`; username=%q; credential=%q; credential-type="password"`, server.Username, server.Credential)
			}
			h.Add("Link", link)
		}
	}
}
