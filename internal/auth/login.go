package auth

import (
	"bytes"
	_ "embed"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"callscreen/internal/limit"
	"callscreen/internal/problem"
)

//go:embed login.html
var loginPage string

var loginTemplate = template.Must(template.New("login").Parse(loginPage))

// pageView is the data of the sign-in pages.
type pageView struct {
	Title    string
	Problem  string
	Next     string
	Tokens   bool   // tokens are configured
	SSO      string // start of single sign-on, "" if it is off
	Out      bool   // the user has just signed out
	Who      string
	SignedIn bool
}

func showPage(w http.ResponseWriter, status int, name string, v pageView) {
	var b bytes.Buffer
	if err := loginTemplate.ExecuteTemplate(&b, name, v); err != nil {
		problem.Write(w, http.StatusInternalServerError, "rendering the page failed")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client may have disconnected
}

// Register adds the pages for signing in and out.
func (a *Auth) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("POST /login", a.own(a.visit(a.signIn)))
	mux.HandleFunc("POST /logout", a.own(a.signOut))
	if a.sso != nil {
		mux.HandleFunc("GET /login/oidc", a.visit(a.beginSSO))
		mux.HandleFunc("GET /login/oidc/callback", a.visit(a.endSSO))
	}
}

// own accepts requests from this server's own pages only, so that another site cannot sign a user in under another
// name.
func (a *Auth) own(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := a.origin.Check(r); err != nil {
			deny(w, r, http.StatusForbidden, "cross-origin request refused")
			return
		}
		next(w, r)
	}
}

// safeNext returns the path to open after signing in. It is always a page of this server.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") || u.Host != "" ||
		u.Scheme != "" ||
		strings.HasPrefix(u.Path, "/login") {
		return "/"
	}
	return next
}

func (a *Auth) login(w http.ResponseWriter, r *http.Request) {
	next := safeNext(r.URL.Query().Get("next"))
	if a.Off() {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	if _, err := a.person(w, r); err == nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	a.showLogin(w, r, http.StatusOK, next, "")
}

func (a *Auth) showLogin(w http.ResponseWriter, r *http.Request, status int, next, why string) {
	v := pageView{
		Title:   "Sign in",
		Problem: why,
		Next:    next,
		Tokens:  len(a.holders()) > 0,
		Out:     r.Method == http.MethodGet && r.URL.Query().Has("out"),
	}
	if a.sso != nil {
		v.SSO = "/login/oidc?" + url.Values{"next": {next}}.Encode()
	}
	showPage(w, status, "login", v)
}

// signIn exchanges a token for a session.
func (a *Auth) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		a.showLogin(w, r, http.StatusBadRequest, "/", "The form is invalid.")
		return
	}
	next, from, now := safeNext(r.PostForm.Get("next")), a.client(r), a.now()
	token := strings.TrimSpace(r.PostForm.Get("token"))
	who, source, ok := a.holder(token)
	if wait := a.failures.wait(from, now, ok); wait > 0 {
		a.refusals.Note(limit.OfSignIns, from)
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		a.showLogin(w, r, http.StatusTooManyRequests, next, "Too many failed attempts. Wait a moment.")
		return
	}
	if !ok {
		a.failures.note(from, now)
		a.log.Warn("sign-in failed", "from", from)
		a.showLogin(w, r, http.StatusForbidden, next, "This token is unknown.")
		return
	}
	if !who.Has("viewer") {
		a.showLogin(w, r, http.StatusForbidden, next, "This token is for senders of calls. It cannot view calls.")
		return
	}
	a.enter(w, r, who, source, next)
}

// enter starts a session and redirects.
func (a *Auth) enter(w http.ResponseWriter, r *http.Request, who Identity, source, next string) {
	if err := a.begin(w, r, who, source); err != nil {
		a.log.Error("saving session failed", "error", err)
		a.showLogin(w, r, http.StatusServiceUnavailable, next, "The database does not answer. Try again in a moment.")
		return
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (a *Auth) signOut(w http.ResponseWriter, r *http.Request) {
	if id := a.read(r, cookieName); id != "" && a.sessions != nil {
		if err := a.sessions.EndSession(r.Context(), hashOf(id)); err != nil {
			a.log.Error("deleting session failed", "error", err)
			deny(w, r, http.StatusServiceUnavailable, "The database does not answer, so you are still signed in. Try again in a moment.")
			return
		}
	}
	http.SetCookie(w, a.cookie(r, cookieName, "", 0))
	http.Redirect(w, r, "/login?out", http.StatusSeeOther)
}
