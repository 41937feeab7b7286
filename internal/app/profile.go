package app

import (
	"net/http"
	"net/http/pprof"
)

// profiles is what the program spends its time and memory on, for `go tool pprof`. It is at the admin listener only, and
// for admins: a heap may hold what was said.
func (a *App) profiles(mux *http.ServeMux) {
	for path, handle := range map[string]http.HandlerFunc{
		"":        pprof.Index,
		"profile": pprof.Profile,
		"symbol":  pprof.Symbol,
		"trace":   pprof.Trace,
	} {
		mux.HandleFunc("GET /debug/pprof/"+path, a.auth.Require("admin", handle))
	}
}
