package review

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/problem"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

//go:embed web
var web embed.FS

// Link is a link to another page.
type Link struct{ Href, Title string }

// frame is the layout around every page.
type frame struct {
	Title     string
	Page      string // "list", "call", "trial" or "message"; selects the script
	Tab       string // current tab or link
	Who       string // "" if authentication is off
	SignedIn  bool   // by a session, so that the user can sign out
	Simulated bool
	Counts    store.CallCounts
	Nav       []Link // in addition to the lists
	After     int64  // last event included in the page
	Body      any
}

// mostCounted limits the count of calls of a tab.
const mostCounted = 1000

var pageFuncs = template.FuncMap{
	"score": scoreText, "seconds": secondsText, "clock": clockText, "coverage": coverage,
	"seconds3": func(s report.Seconds) string { return strconv.FormatFloat(time.Duration(s).Seconds(), 'f', 3, 64) },
	"count": func(n int) string {
		if n >= mostCounted {
			return "999+"
		}
		return strconv.Itoa(n)
	},
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"stamp": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" },
	"short": func(hash string) string { return hash[:min(len(hash), 12)] },
}

// pages are the templates, each with the layout.
type pages map[string]*template.Template

func parsePages() (pages, error) {
	p := pages{}
	for _, name := range []string{"list", "call", "message", "trial"} {
		t, err := template.New("layout.html").Funcs(pageFuncs).ParseFS(web, "web/layout.html", "web/"+name+".html")
		if err != nil {
			return nil, err
		}
		p[name] = t
	}
	return p, nil
}

// render writes a page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, f frame) error {
	ctx := r.Context()
	var err error
	if f.Counts, err = s.cfg.Store.CountCalls(ctx, mostCounted); err != nil {
		return err
	}
	f.Nav = []Link{{trialPath, "Backtest"}}
	if who, ok := auth.From(ctx); ok {
		f.Who, f.SignedIn = who.Name, who.Session
	}
	return s.write(w, status, f)
}

func (s *Server) write(w http.ResponseWriter, status int, f frame) error {
	var b bytes.Buffer // render completely first: half a page would be worse than an error
	if err := s.pages[f.Page].Execute(&b, f); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have disconnected
	return nil
}

// message is a page with a text and a link.
type message struct {
	Heading string
	Text    string
	Back    Link
	// Conflict, if not nil, is the change of a faster reviewer and the rejected change.
	Conflict *conflict
}

// showing writes the error of a handler as a page.
func (s *Server) showing(handler handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := store.ErrNotFound // no page has such an address
		if problem.ValidText(r.URL.Path) {
			err = checked(handler, w, r)
		}
		var no *refused
		var status int
		m := message{Back: Link{"/", "All lists"}}
		switch {
		case err == nil || r.Context().Err() != nil: // the client has disconnected
			return
		case errors.As(err, &no):
			status, m.Heading, m.Text = no.status, http.StatusText(no.status), no.detail
		case errors.Is(err, store.ErrNotFound):
			status, m.Heading, m.Text = http.StatusNotFound, "No such call", "It may have been erased, or the address is wrong."
		default:
			s.cfg.Log.Error("rendering page failed", "path", r.Pattern, "error", err)
			w.Header().Set("Retry-After", "5")
			status, m.Heading = http.StatusServiceUnavailable, "The database or the audio store does not answer"
			m.Text = "Recording continues, and nothing is lost. Try again in a moment; /readyz has details."
		}
		f := frame{Title: m.Heading, Page: "message", Body: m}
		if who, ok := auth.From(r.Context()); ok {
			f.Who, f.SignedIn = who.Name, who.Session
		}
		if err := s.write(w, status, f); err != nil {
			s.cfg.Log.Error("rendering page failed", "path", r.Pattern, "error", err)
		}
	}
}

// pathOf returns the path of a call's page.
func pathOf(call string) string { return "/calls/" + url.PathEscape(call) }

// assets are the static files of the pages, with their ETags.
type assets map[string]asset

type asset struct {
	data []byte
	tag  string
}

func readAssets() (assets, error) {
	a := assets{}
	files, err := fs.Glob(web, "web/static/*")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		data, err := web.ReadFile(name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(data)
		a[strings.TrimPrefix(name, "web/static/")] = asset{data, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	return a, nil
}

// static serves the files of the pages. Browsers revalidate them each time, which is cheap.
func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("file")
	a, ok := s.assets[name]
	if !ok {
		return refuse(http.StatusNotFound, "no such file")
	}
	w.Header().Set("ETag", a.tag)
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.data))
	return nil
}
