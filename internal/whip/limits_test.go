package whip_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"callscreen/internal/whip"
)

const fragmentOf = "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"

// An offer within the size limit that would need far more memory or time than its size suggests is refused before a connection
// is created.
func TestOffersAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	_, sdp := newSender(t, false)
	for name, c := range map[string]struct {
		sdp  string
		want int
	}{
		"the body":           {sdp + strings.Repeat("a=x\r\n", 14_000), 413},
		"the media sections": {sdp + strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n", 100), 422},
		"the attributes":     {sdp + strings.Repeat("a=x:y\r\n", 3000), 422},
		"the candidates":     {sdp + strings.Repeat("a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n", 300), 422},
		"nothing":            {sdp, 201},
	} {
		if a := h.post(c.sdp); a.status != c.want {
			t.Errorf("an offer beyond the limit for %s: HTTP %d %s, want %d", name, a.status, a.body, c.want)
		}
	}
}

// An offer whose section names no format is answered, or refused, and leaves no session behind.
func TestASectionWithoutFormats(t *testing.T) {
	h := newHouse(t, nil)
	_, sdp := newSender(t, false)
	for _, section := range []string{
		"m=video 0 UDP/TLS/RTP/SAVPF\r\na=rtpmap:96 VP8/90000\r\n",
		"m=video 9 UDP/TLS/RTP/SAVPF\r\na=mid:9\r\na=rtpmap:96 VP8/90000\r\n",
		"m=application 9 UDP/DTLS/SCTP\r\na=rtpmap:\r\n",
	} {
		a := h.post(sdp + section)
		if a.status != 201 && a.status/100 != 4 {
			t.Errorf("%q: HTTP %d %s", section, a.status, a.body)
		}
		if a.status == 201 {
			if end := h.ask(http.MethodDelete, a.header.Get("Location"), ""); end.status != 200 {
				t.Errorf("DELETE: HTTP %d", end.status)
			}
		}
	}
	if n := h.server.Stats().Open; n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

// The number of candidates of a session is limited. Beyond the limit a sender may still hang up.
func TestCandidatesOfASessionAreBounded(t *testing.T) {
	h := newHouse(t, nil)
	_, sdp := newSender(t, false)
	a := h.post(sdp)
	at := a.header.Get("Location")
	body := fmt.Sprintf(fragmentOf, attribute(sdp, "ice-ufrag"), attribute(sdp, "ice-pwd"))
	for i := range 50 {
		body += fmt.Sprintf("a=candidate:%d 1 udp 1 127.0.0.1 %d typ host\r\n", i, 10_000+i)
	}
	for i, want := range []int{204, 204, 204, 204, 429, 429} {
		if a := h.ask(http.MethodPatch, at, body, "Content-Type", "application/trickle-ice-sdpfrag"); a.status != want {
			t.Errorf("fragment %d: HTTP %d %s, want %d", i, a.status, a.body, want)
		}
	}
	if a := h.ask(http.MethodDelete, at, ""); a.status != 200 {
		t.Errorf("DELETE: HTTP %d", a.status)
	}
}

// Requests over the rate limit of an address get a Retry-After. Other addresses are not affected, and neither is the DELETE of
// an open session.
func TestRequestsAreBoundedByAddress(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) {
		c.PerSecond = 0.001 // the burst is one request, and no other is permitted during the test
		c.Client = func(r *http.Request) netip.Addr { return netip.MustParseAddr(r.Header.Get("From")) }
	})
	_, sdp := newSender(t, false)
	a := h.post(sdp, "From", "203.0.113.1")
	if a.status != 201 {
		t.Fatalf("HTTP %d %s", a.status, a.body)
	}
	for _, path := range []string{"/whip/call/other", "/whip/session/none"} {
		if b := h.ask(http.MethodPost, path, sdp, "From", "203.0.113.1", "Authorization", "Bearer bad"); b.status != 429 ||
			b.header.Get("Retry-After") == "" {
			t.Errorf("%s: HTTP %d %s", path, b.status, b.body)
		}
	}
	if b := h.post(sdp, "From", "203.0.113.2"); b.status != 201 {
		t.Errorf("another address: HTTP %d %s", b.status, b.body)
	}
	flooded := 0
	for range 150 {
		if b := h.ask(http.MethodPatch, a.header.Get("Location"), "x", "From", "203.0.113.1"); b.status == 429 {
			flooded++
		}
	}
	if flooded == 0 {
		t.Error("PATCH requests are not limited")
	}
	if b := h.ask(http.MethodDelete, a.header.Get("Location"), "", "From", "203.0.113.1"); b.status != 200 {
		t.Errorf("DELETE: HTTP %d %s", b.status, b.body)
	}
}
