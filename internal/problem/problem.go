// Package problem writes HTTP error answers in the form of RFC 9457.
package problem

import (
	"encoding/json"
	"maps"
	"net/http"
)

// Write answers with a status and a description of the problem, one sentence.
func Write(w http.ResponseWriter, status int, detail string) { With(w, status, detail, nil) }

// With is Write with additional members in the body, as RFC 9457 section 3.2 allows.
func With(w http.ResponseWriter, status int, detail string, extra map[string]any) {
	body := map[string]any{"type": "about:blank", "status": status, "title": http.StatusText(status), "detail": detail}
	maps.Copy(body, extra)
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client may have disconnected
}
