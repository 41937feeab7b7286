package whip

import "net/http"

// cors allows pages of the configured origins to use the server, RFC 9725 section 4.1.
func (s *Server) cors(w http.ResponseWriter, r *http.Request) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	for _, o := range s.cfg.Origins {
		if o == "*" || o == origin {
			h := w.Header()
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Methods", "OPTIONS, POST, PATCH, DELETE")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
			h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate")
			h.Set("Access-Control-Max-Age", "600")
			return
		}
	}
}
