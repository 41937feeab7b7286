package review

import (
	"fmt"
	"html/template"
	"net/http"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
)

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
func (s *Server) page(w http.ResponseWriter, r *http.Request) error {
	calls, _, err := s.cfg.Desk.Reports(r.Context(), store.Filter{Limit: pageSize})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	return pageTemplate.Execute(w, calls)
}
