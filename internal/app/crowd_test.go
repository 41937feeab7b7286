package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// pest is one attacker, with an address of its own.
type pest struct {
	t    *testing.T
	at   string
	dial *net.Dialer
	http *http.Client

	mu   sync.Mutex
	open []io.Closer
}

func newPest(t *testing.T, at string) *pest {
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 20 * time.Second}
	p := &pest{t: t, at: at, dial: d}
	p.http = &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{DialContext: d.DialContext, MaxIdleConnsPerHost: 50},
	}
	t.Cleanup(p.leave)
	return p
}

// keep has something closed by leave.
func (p *pest) keep(c io.Closer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, c)
}

func (p *pest) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close() // the server may have done it
	}
	p.open = nil
	p.http.CloseIdleConnections()
}

// times does something often, by fifty at a time, and counts the answers.
func (p *pest) times(n int, do func(i int) string) map[string]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	answers, next := map[string]int{}, make(chan int)
	for range 50 {
		all.Go(func() {
			for i := range next {
				a := do(i)
				mu.Lock()
				answers[a]++
				mu.Unlock()
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	all.Wait()
	return answers
}

// connect opens a connection, writes something, and keeps the connection. It returns the first line of the answer.
func (p *pest) connect(text string, answered bool) string {
	c, err := p.dial.DialContext(context.Background(), "tcp", p.at)
	if err != nil {
		return "no connection"
	}
	p.keep(c)
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		return "closed"
	}
	if !answered {
		return "open"
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return "closed"
	}
	return strings.TrimSpace(line)
}

func (p *pest) post(path, token, kind, body string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+p.at+path, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", kind)
	resp, err := p.http.Do(r)
	if err != nil {
		return "closed"
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Status
}

// stream opens an event stream and keeps it.
func (p *pest) stream(token string) string {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.at+"/api/v1/events", nil)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := (&http.Transport{DialContext: p.dial.DialContext}).RoundTrip(r) //nolint:bodyclose // leave closes it
	if err != nil {
		return "closed"
	}
	p.keep(resp.Body)
	return resp.Status
}

// An attacker at one address takes no door from the others: the desk answers, a sender is let in, a live call loses no packet, and
// one line of the log names the address.
func TestOneAddressTakesNothingFromOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	for _, attack := range []struct {
		name, limit string
		do          func(p *pest) map[string]int
		want        string // an answer of the attack
		least       int    // number of these answers
	}{
		{
			"4,200 idle connections", "connections",
			func(p *pest) map[string]int {
				return p.times(4200, func(int) string { return p.connect("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", true) })
			},
			"closed", 3000,
		},
		{
			"256 event streams of one user", "event_streams",
			func(p *pest) map[string]int { return p.times(256, func(int) string { return p.stream("vera") }) },
			"429 Too Many Requests", 200,
		},
		{
			"1,000 sessions that do not connect", "sessions",
			func(p *pest) map[string]int {
				return p.times(1000, func(i int) string {
					return p.post(fmt.Sprintf("/whip/evil-%d/caller", i), "evil", "application/sdp", hostileOffer(i))
				})
			},
			"503 Service Unavailable", 300,
		},
		{
			"3,000 guesses", "tokens",
			func(p *pest) map[string]int {
				return p.times(3000, func(i int) string {
					return p.post("/api/v1/calls/a/legs/caller/stop", fmt.Sprint("guess", i), "text/plain", "")
				})
			},
			"429 Too Many Requests", 2900,
		},
		{
			"slow bodies", "connections",
			func(p *pest) map[string]int {
				const head = "POST /whip/evil/caller HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\nContent-Length: 9000\r\n\r\nv"
				return p.times(2000, func(int) string { return p.connect(head, false) })
			},
			"open", 1000,
		},
	} {
		t.Run(attack.name, func(t *testing.T) {
			s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "rev"}, func(c *config.Config) {
				c.Auth.Tokens = []config.Token{fixed("evil", "evil", "ingest"), fixed("vera", "vera", "viewer")}
			})
			const seconds = 8
			good := make(chan publish.Summary, 1)
			go func() {
				sum, _ := s.play(t.Context(), demo.Synthetic, "good", "caller", seconds, publish.Impairment{})
				good <- sum
			}()
			for end := time.Now().Add(20 * time.Second); s.app.Totals().Legs == 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the good call did not begin")
				}
			}
			p := newPest(t, s.app.Addr())
			done := make(chan map[string]int, 1)
			go func() { done <- attack.do(p) }()
			var took []time.Duration
			look := func() {
				start := time.Now()
				if code, body := ask(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "GET",
					s.app.URL()+"/api/v1/calls", "rev"); code != 200 {
					t.Errorf("the desk: HTTP %d %s", code, body)
				}
				took = append(took, time.Since(start))
			}
			var answers map[string]int
			for answers == nil {
				select {
				case answers = <-done:
				case <-time.After(50 * time.Millisecond):
					look()
				}
			}
			look() // while the attacker holds what it got
			if sum, _ := s.play(t.Context(), demo.Human, "second", "caller", 2, publish.Impairment{}); sum.Err() != nil {
				t.Errorf("a sender during the attack: %+v", sum)
			}
			if sum := <-good; sum.Err() != nil || sum.Packets != seconds*50 {
				t.Errorf("the live call: %+v", sum)
			}
			p.leave()
			if r := s.ended("good"); len(r.Legs) != 1 || r.Legs[0].Lost != 0 || r.Decision != "flagged" {
				t.Errorf("the live call: %+v", r)
			}
			if answers[attack.want] < attack.least {
				t.Errorf("the attacker got %v, want %q at least %d times", answers, attack.want, attack.least)
			}
			line := fmt.Sprintf(`msg="client limited" limit=%s address=127.0.0.2`, attack.limit)
			if n := strings.Count(s.log.String(), line); n != 1 {
				t.Errorf("%d lines with %s, want one", n, line)
			}
			if n := strings.Count(s.log.String(), "address=127.0.0.1"); n != 0 {
				t.Errorf("the user was limited:\n%s", s.log.String())
			}
			slices.Sort(took)
			t.Logf("%v; the desk answered in %v at most, %v in the middle, of %d", answers, took[len(took)-1], took[len(took)/2], len(took))
		})
	}
}
