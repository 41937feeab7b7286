package app

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/screen"
)

// handlers are everything that the program serves: to all, and to those who watch and manage it. Without a listener for
// these it is the same for both.
func (a *App) handlers() (public, admin http.Handler) {
	mux := a.newMux()
	mux.Handle("/whip/", a.whip)
	a.auth.Register(mux)
	for pattern, handle := range a.legRoutes() {
		mux.HandleFunc(pattern, a.auth.RequireSender(handle))
	}
	for pattern, handle := range a.pullRoutes() {
		mux.HandleFunc(pattern, a.auth.Require("ingest", handle))
	}
	managed := mux
	if a.admin != nil {
		managed = a.newMux()
		a.profiles(managed)
	}
	for pattern, handle := range a.adminRoutes() {
		managed.HandleFunc(pattern, a.auth.Require("admin", handle))
	}
	a.review.Register(mux, managed)
	managed.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	return mux, managed
}

// newMux answers what every listener does: whether the program lives, and takes calls.
func (a *App) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, http.StatusNotFound, "there is nothing here")
	})
	return mux
}

// legRoutes is what a sender, or who acts for it, can ask for about a leg.
func (a *App) legRoutes() map[string]http.HandlerFunc {
	const leg = " /api/v1/calls/{call}/legs/{leg}/"
	return map[string]http.HandlerFunc{
		"POST" + leg + "pause": a.pause, "POST" + leg + "resume": a.resume, "POST" + leg + "stop": a.stopLeg,
	}
}

// pullRoutes make us send requests to where somebody says, which a token for one leg is not good for.
func (a *App) pullRoutes() map[string]http.HandlerFunc {
	const leg = " /api/v1/calls/{call}/legs/{leg}/whep"
	return map[string]http.HandlerFunc{"POST" + leg: a.startPull, "DELETE" + leg: a.stopPull}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// find is the call in progress that a request is about. Without one it answers and returns nil.
func (a *App) find(w http.ResponseWriter, r *http.Request) *screen.LiveCall {
	c := a.live.Call(r.PathValue("call"))
	if c == nil {
		problem.Write(w, http.StatusNotFound, "there is no such call in progress on this node")
	}
	return c
}

// pause discards what a leg says until resume, as while a payment card is read out.
func (a *App) pause(w http.ResponseWriter, r *http.Request)  { a.shut(w, r, true) }
func (a *App) resume(w http.ResponseWriter, r *http.Request) { a.shut(w, r, false) }

func (a *App) shut(w http.ResponseWriter, r *http.Request, shut bool) {
	c := a.find(w, r)
	if c == nil {
		return
	}
	leg, change := r.PathValue("leg"), c.Recorder().Resume
	if shut {
		change = c.Recorder().Pause
	}
	if !change(leg) {
		problem.Write(w, http.StatusNotFound, "the call has no such leg")
		return
	}
	answer(
		w,
		map[string]any{
			"call":              r.PathValue("call"),
			"leg":               leg,
			"paused":            shut,
			"discarded_seconds": report.Seconds(c.Recorder().Stats()[leg].Paused),
		},
	)
}

// stopLeg ends the session of a leg, whoever began it.
func (a *App) stopLeg(w http.ResponseWriter, r *http.Request) {
	if a.whip.End(r.PathValue("call"), r.PathValue("leg")) {
		answer(w, map[string]any{"call": r.PathValue("call"), "leg": r.PathValue("leg"), "stopped": true})
		return
	}
	a.stopPull(w, r)
}
