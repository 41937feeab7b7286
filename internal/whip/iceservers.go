package whip

import (
	"fmt"
	"net/http"
)

// nameServers tells a sender of the STUN and TURN servers, RFC 9725 section 4.6: with the answer to POST, and to OPTIONS for
// those who have to know before they make an offer. TURN credentials are for senders with a good token only.
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
