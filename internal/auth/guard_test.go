package auth_test

import (
	"fmt"
	"testing"
	"time"

	"callscreen/internal/config"
)

// Guesses of an address are refused without being judged, good tokens of the same address pass, and other addresses notice nothing.
func TestGuessesAreSlowedDown(t *testing.T) {
	h := newHouse(t, nil)
	thief, user := h.browser(), h.browser()
	thief.from = "127.0.0.2:4000"
	judged := func(guesses int) (n int) {
		for i := range guesses {
			thief.headers["Authorization"] = fmt.Sprint("Bearer guess", i)
			if a, _ := thief.do("GET", "/api/v1/calls", ""); a.StatusCode == 403 {
				n++
			} else if a.StatusCode != 429 || a.Header.Get("Retry-After") == "" {
				t.Fatalf("guess %d: HTTP %d", i, a.StatusCode)
			}
		}
		return n
	}
	if n := judged(3000); n != 20 {
		t.Errorf("%d of 3000 guesses were judged, want 20", n)
	}
	for name, b := range map[string]*browser{"the same address": thief, "another address": user} {
		b.headers["Authorization"] = "Bearer anna's"
		b.want(name, "GET", "/api/v1/calls", 200, "hello anna")
	}
	h.now = h.now.Add(10 * time.Second)
	if n := judged(100); n != 5 {
		t.Errorf("%d guesses in 10 s were judged, want 5", n)
	}
	user.headers["Authorization"] = "Bearer wrong"
	user.want("another address, a wrong token", "GET", "/api/v1/calls", 403, "")
}

// While authentication is off, pages of other sites send no calls either, unless they may.
func TestOtherSitesSendNothing(t *testing.T) {
	h := newHouse(t, func(c *config.Config) {
		c.Auth.Tokens, c.WebRTC.Origins = nil, []string{"https://phone.example.com"}
	})
	h.mux.HandleFunc("POST /whip/{call}/{leg}", h.hello)
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"127.0.0.1:8080", "", 200},
		{"127.0.0.1:8080", "http://127.0.0.1:8080", 200},
		{"127.0.0.1:8080", "https://phone.example.com", 200},
		{"127.0.0.1:8080", "https://evil.test", 403},
		{"evil.test:8080", "http://evil.test:8080", 403},
		{"evil.test:8080", "https://phone.example.com", 403},
	} {
		b := h.browser()
		b.host, b.headers = c.host, map[string]string{"Origin": c.origin}
		b.want(c.host+" "+c.origin, "POST", "/whip/a/caller", c.want, "")
	}
	b := h.browser()
	b.host, b.headers = "127.0.0.1:8080", map[string]string{"Origin": "https://phone.example.com"}
	b.want("a page that may send calls", "POST", "/calls/a/review", 403, "")
}
