package app

import (
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"callscreen/internal/problem"
)

// handlers serve the listeners.
type handlers struct{ public, admin, health *http.ServeMux }

// handlers returns the handlers of the listeners. Without an admin listener that of the public one serves its routes.
func (a *App) handlers() handlers {
	mux := a.newMux()
	mux.Handle("/whip/", a.whip)
	a.auth.Register(mux)
	for pattern, handle := range a.legs.routes() {
		mux.HandleFunc(pattern, a.auth.RequireSender(problem.Checked(handle)))
	}
	for pattern, handle := range a.pullRoutes() {
		mux.HandleFunc(pattern, handle)
	}
	managed := mux
	if a.listeners.admin != nil {
		managed = a.newMux()
		a.registerProfiles(managed)
	}
	for pattern, handle := range a.adminRoutes() {
		managed.HandleFunc(pattern, a.auth.Require("admin", problem.Checked(handle)))
	}
	a.review.Register(mux, managed)
	watched := managed
	if a.listeners.health != nil {
		watched = a.newMux()
	}
	watched.Handle("GET /metrics", promhttp.HandlerFor(a.scrape, promhttp.HandlerOpts{}))
	return handlers{mux, managed, watched}
}

// newMux has the routes of every listener: liveness and readiness.
func (a *App) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusNotFound, "there is nothing here")
	})
	return mux
}

// pullRoutes start and end the pull of a leg. A pull makes the program send requests to an address of the client's choice, which a token
// for one leg does not allow.
func (a *App) pullRoutes() map[string]http.HandlerFunc {
	const leg = " /api/v1/calls/{call}/legs/{leg}/whep"
	return map[string]http.HandlerFunc{
		"POST" + leg:   a.auth.Require("ingest", problem.Checked(a.puller.Start)),
		"DELETE" + leg: a.auth.RequireSender(problem.Checked(a.puller.Stop)),
	}
}
