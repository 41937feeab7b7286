package app

import (
	"context"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"callscreen/internal/screen"
)

// handler is everything that the program serves.
func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/whip/", a.whip)
	mux.HandleFunc("GET /api/v1/calls", a.auth.require("viewer", a.listCalls))
	mux.HandleFunc("GET /api/v1/calls/{call}", a.auth.require("viewer", a.showCall))
	mux.HandleFunc("GET /api/v1/calls/{call}/decision", a.auth.require("viewer", a.decision))
	mux.HandleFunc("POST /api/v1/calls/{call}/legs/{leg}/pause", a.auth.require("ingest", a.pause))
	mux.HandleFunc("POST /api/v1/calls/{call}/legs/{leg}/resume", a.auth.require("ingest", a.resume))
	mux.HandleFunc("POST /api/v1/calls/{call}/legs/{leg}/stop", a.auth.require("ingest", a.stopLeg))
	mux.HandleFunc("POST /api/v1/calls/{call}/legs/{leg}/whep", a.auth.require("ingest", a.startPull))
	mux.HandleFunc("DELETE /api/v1/calls/{call}/legs/{leg}/whep", a.auth.require("ingest", a.stopPull))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /{$}", a.auth.require("viewer", a.page))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { problem(w, http.StatusNotFound, "there is nothing here") })
	return mux
}

// problem answers with an error, RFC 9457.
func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "title": http.StatusText(status), "detail": detail})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// list is a page of calls.
type list struct {
	Calls      []screen.LiveReport `json:"calls"`
	NextCursor string              `json:"next_cursor"`
}

const pageSize = 100

func (a *App) listCalls(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	decision, state := q.Get("decision"), q.Get("state")
	if decision != "" && decision != "flagged" && decision != "clear" && decision != "inconclusive" {
		problem(w, http.StatusBadRequest, "decision is flagged, clear or inconclusive")
		return
	}
	if state != "" && state != "live" && state != "ended" {
		problem(w, http.StatusBadRequest, "state is live or ended")
		return
	}
	from := 0
	if c := q.Get("cursor"); c != "" {
		var err error
		if from, err = strconv.Atoi(c); err != nil || from < 0 {
			problem(w, http.StatusBadRequest, "the cursor is not one that this server gave")
			return
		}
	}
	all := a.live.Calls(func(c screen.LiveReport) bool {
		return (decision == "" || c.Decision == decision) && (state == "" || c.State == state) && c.Match(q.Get("q"))
	})
	out := list{Calls: []screen.LiveReport{}}
	if from < len(all) {
		out.Calls = all[from:min(from+pageSize, len(all))]
	}
	if from+pageSize < len(all) {
		out.NextCursor = strconv.Itoa(from + pageSize)
	}
	answer(w, out)
}

// find is the call that a request is about. Without one it answers and returns nil.
func (a *App) find(w http.ResponseWriter, r *http.Request) *screen.LiveCall {
	c := a.live.Call(r.PathValue("call"))
	if c == nil {
		problem(w, http.StatusNotFound, "there is no such call")
	}
	return c
}

func (a *App) showCall(w http.ResponseWriter, r *http.Request) {
	if c := a.find(w, r); c != nil {
		answer(w, c.Report())
	}
}

// longestWait is a little less than proxies usually allow.
const longestWait = 55 * time.Second

// decision waits until a call is decided, for an IVR that holds it for that long.
func (a *App) decision(w http.ResponseWriter, r *http.Request) {
	c := a.find(w, r)
	if c == nil {
		return
	}
	wait := time.Duration(0)
	if text := r.URL.Query().Get("wait"); text != "" {
		var err error
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 {
			problem(w, http.StatusBadRequest, "wait is a duration such as 15s")
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), min(wait, longestWait))
	defer cancel()
	answer(w, c.Decided(ctx))
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
		problem(w, http.StatusNotFound, "the call has no such leg")
		return
	}
	answer(w, map[string]any{"call": r.PathValue("call"), "leg": leg, "paused": shut, "discarded_seconds": screen.Seconds(c.Recorder().Stats()[leg].Paused)})
}

// stopLeg ends the session of a leg, whoever began it.
func (a *App) stopLeg(w http.ResponseWriter, r *http.Request) {
	if a.whip.End(r.PathValue("call"), r.PathValue("leg")) {
		answer(w, map[string]any{"call": r.PathValue("call"), "leg": r.PathValue("leg"), "stopped": true})
		return
	}
	a.stopPull(w, r)
}

// ready tells whether new calls are taken.
func (a *App) ready(w http.ResponseWriter, _ *http.Request) {
	if a.draining.Load() {
		problem(w, http.StatusServiceUnavailable, "shutting down")
		return
	}
	fmt.Fprintln(w, "ready")
}

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"percent": func(s *float64) string {
		if s == nil {
			return "-"
		}
		return fmt.Sprintf("%.2f", *s)
	},
	"seconds": func(s screen.Seconds) string { return fmt.Sprintf("%.0f s", time.Duration(s).Seconds()) },
}).Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="5">
<title>callscreen</title><style>body{font:16px system-ui;margin:2rem;color-scheme:light dark}table{border-collapse:collapse}td,th{padding:.3rem 1rem;text-align:left;border-bottom:1px solid #8888}.flagged{font-weight:bold;color:#c22}</style>
<h1>Calls</h1>{{if not .}}<p>No call yet. Send one: <code>callscreen publish FILE --to http://HOST/whip/CALL/caller</code></p>{{else}}
<table><tr><th>Call</th><th>State</th><th>Decision</th><th>Score</th><th>Analysed</th><th>Lost</th><th>Reasons</th></tr>
{{range .}}<tr><td><a href="/api/v1/calls/{{.Call}}">{{.Call}}</a></td><td>{{.State}}</td><td class="{{.Decision}}">{{.Decision}}{{if not .Final}} so far{{end}}{{if .Simulated}} (simulated){{end}}</td>
<td>{{percent .Score}}</td><td>{{seconds .Analysed}} of {{seconds .Speech}}</td><td>{{seconds .Lost}}</td><td>{{range .Reasons}}{{.}} {{end}}</td></tr>{{end}}</table>{{end}}</html>
`))

// page lists the calls for a person.
func (a *App) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	calls := a.live.Calls(nil)
	if err := pageTemplate.Execute(w, calls[:min(len(calls), pageSize)]); err != nil {
		a.opt.Log.Warn("the page could not be written", "error", err)
	}
}
