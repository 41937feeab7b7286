package app

import (
	"encoding/json"
	"net/http"

	"callscreen/internal/auth"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/screen"
)

// legControl answers the requests about a leg that is being recorded on this node.
type legControl struct {
	calls interface {
		Call(id string) *screen.LiveCall
	}
	// end ends the WHIP session of a leg. It returns false if there is none.
	end func(call, leg string) bool
	// stopPull handles the request if the leg is pulled from a media server, or answers 404.
	stopPull http.HandlerFunc
}

// routes are open to the sender of a leg and to those who act for it.
func (l legControl) routes() map[string]http.HandlerFunc {
	const leg = " /api/v1/calls/{call}/legs/{leg}/"
	return map[string]http.HandlerFunc{
		"POST" + leg + "pause":  func(w http.ResponseWriter, r *http.Request) { l.setPaused(w, r, true) },
		"POST" + leg + "resume": func(w http.ResponseWriter, r *http.Request) { l.setPaused(w, r, false) },
		"POST" + leg + "stop":   l.stop,
	}
}

// setPaused discards the audio of a leg until it is resumed, as while a payment card is read out.
func (l legControl) setPaused(w http.ResponseWriter, r *http.Request, paused bool) {
	c := l.calls.Call(r.PathValue("call"))
	if c == nil {
		problem.Write(w, http.StatusNotFound, "there is no such call in progress on this node")
		return
	}
	leg, change := r.PathValue("leg"), c.Recorder().Resume
	if paused {
		change = c.Recorder().Pause
	}
	if !change(leg, auth.Actor(r.Context())) {
		problem.Write(w, http.StatusNotFound, "the call has no such leg")
		return
	}
	answer(
		w,
		map[string]any{
			"call":              r.PathValue("call"),
			"leg":               leg,
			"paused":            paused,
			"discarded_seconds": report.Seconds(c.Recorder().Stats()[leg].Paused),
		},
	)
}

// stop ends the session of a leg.
func (l legControl) stop(w http.ResponseWriter, r *http.Request) {
	if l.end(r.PathValue("call"), r.PathValue("leg")) {
		answer(w, map[string]any{"call": r.PathValue("call"), "leg": r.PathValue("leg"), "stopped": true})
		return
	}
	l.stopPull(w, r)
}

// answer writes v as JSON.
func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}
