package app

import (
	"net/http"
	"net/http/pprof"
)

// registerProfiles serves CPU and memory profiles for `go tool pprof`, at the admin listener and for admins only: a heap may
// hold call audio.
func (a *App) registerProfiles(mux *http.ServeMux) {
	for path, handle := range map[string]http.HandlerFunc{
		"":        pprof.Index,
		"profile": pprof.Profile,
		"symbol":  pprof.Symbol,
		"trace":   pprof.Trace,
	} {
		mux.HandleFunc("GET /debug/pprof/"+path, a.auth.Require("admin", handle))
	}
}
