package whep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/testkit"
	"callscreen/internal/whep"
)

// thief is a server at another port of the same host, to which net/http would send the token on a redirect.
type thief struct {
	mu    sync.Mutex
	asked []string
}

func (s *thief) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.Header.Get("Authorization"))
	w.WriteHeader(http.StatusNoContent)
}

// The token goes only to the scheme, host and port for which it was given.
func TestTheTokenStaysAtItsOrigin(t *testing.T) {
	const secret = "geheim/T0/B0/XYZZY"
	for name, c := range map[string]struct {
		counter bool
		// lead changes an answer of the server. It returns true if it has written it.
		lead func(w http.ResponseWriter, r *http.Request, thief string) bool
		want string // in the error; "" if the pull works
	}{
		"the session of a 201 is elsewhere": {
			lead: func(w http.ResponseWriter, r *http.Request, thief string) bool {
				w.Header().Set("Location", thief)
				return false
			},
			want: "names a session at",
		},
		"the session of a counter-offer is elsewhere": {
			counter: true,
			lead: func(w http.ResponseWriter, r *http.Request, thief string) bool {
				w.Header().Set("Location", thief)
				return false
			},
			want: "names a session at",
		},
		"the offer is redirected": {
			lead: func(w http.ResponseWriter, r *http.Request, thief string) bool {
				http.Redirect(w, r, thief, http.StatusTemporaryRedirect)
				return true
			},
			want: "redirects to another origin",
		},
		"the answer is redirected": {
			counter: true,
			lead: func(w http.ResponseWriter, r *http.Request, thief string) bool {
				if r.Method != http.MethodPatch {
					return false
				}
				http.Redirect(w, r, thief, http.StatusPermanentRedirect)
				return true
			},
			want: "redirects to another origin",
		},
		"the end is redirected": {
			lead: func(w http.ResponseWriter, r *http.Request, thief string) bool {
				if r.Method != http.MethodDelete {
					return false
				}
				http.Redirect(w, r, thief, http.StatusTemporaryRedirect)
				return true
			},
		},
		"redirected within the origin": {
			lead: func(w http.ResponseWriter, r *http.Request, _ string) bool {
				if r.Method != http.MethodPost || strings.HasPrefix(r.URL.Path, "/again") {
					return false
				}
				http.Redirect(w, r, "/again/"+secret, http.StatusTemporaryRedirect)
				return true
			},
		},
		"redirected within the origin without end": {
			lead: func(w http.ResponseWriter, r *http.Request, _ string) bool {
				http.Redirect(w, r, "/again/"+secret, http.StatusTemporaryRedirect)
				return true
			},
			want: "more than 3 redirects",
		},
		"the answer repeats the token": {
			lead: func(w http.ResponseWriter, r *http.Request, _ string) bool {
				http.Error(w, "no such user: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
				return true
			},
			want: "HTTP 401",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stranger := &thief{}
			foreign := httptest.NewServer(stranger)
			defer foreign.Close()
			s, _ := newMediaServer(t)
			s.counter = c.counter
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := &leading{ResponseWriter: w}
				if c.lead(answer, r, foreign.URL+"/"+secret) {
					_, _ = io.Copy(io.Discard, r.Body)
					return
				}
				answer.location = w.Header().Get("Location")
				s.ServeHTTP(answer, r)
			}))
			defer web.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var log testkit.Log
			err := whep.Run(ctx, whep.Config{
				URL:   web.URL + "/" + secret + "?key=" + secret,
				Token: "pull",
				Leg:   &ear{enough: cancel},
				First: time.Millisecond,
				Tries: 2,
				Log:   slog.New(slog.NewTextHandler(&log, nil)),
			})
			if c.want == "" && !errors.Is(err, context.Canceled) || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("error is %v", err)
			}
			if text := fmt.Sprint(err, log.String()); strings.Contains(text, "XYZZY") || strings.Contains(text, "Bearer pull") {
				t.Errorf("a secret is in %s", text)
			}
			stranger.mu.Lock()
			defer stranger.mu.Unlock()
			if len(stranger.asked) > 0 {
				t.Errorf("the other server was asked %q", stranger.asked)
			}
		})
	}
}

// leading keeps a Location that was set before.
type leading struct {
	http.ResponseWriter
	location string
}

func (l *leading) WriteHeader(status int) {
	if l.location != "" {
		l.ResponseWriter.Header().Set("Location", l.location)
	}
	l.ResponseWriter.WriteHeader(status)
}

func TestAnAddressThatIsNoneIsNotShown(t *testing.T) {
	err := whep.Run(t.Context(), whep.Config{URL: "ftp://u:XYZZY@127.0.0.1/XYZZY"})
	if err == nil || strings.Contains(err.Error(), "XYZZY") {
		t.Error(err)
	}
}
