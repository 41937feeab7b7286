package review

import (
	_ "embed"
	"net/http"
)

// openAPIDocument describes the API. A test compares it with the handlers in both directions.
//
//go:embed openapi.json
var openAPIDocument []byte

func (s *Server) openAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(openAPIDocument) // the client may have disconnected
	return nil
}
