package whip_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/internal/intake"
	"callscreen/internal/rtc"
	"callscreen/internal/whip"
)

// Section 4.2: POST of an offer, 201 with the answer, a Location and, because ICE can be restarted, a strong ETag.
func TestSection4_2_SessionSetup(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	a := h.ask(http.MethodPost, "/whip/c%20all/caller?queue=payments&from=x", offer, "Content-Type", "application/sdp; charset=utf-8")
	s.accept(t, a)
	if a.header.Get("Content-Type") != "application/sdp" ||
		!regexp.MustCompile(`^/whip/session/[A-Z0-9]{26}$`).MatchString(a.header.Get("Location")) {
		t.Errorf("%v", a.header)
	}
	if !regexp.MustCompile(`^"[^"]+"$`).MatchString(a.header.Get("ETag")) ||
		a.header.Get("Accept-Patch") != "application/trickle-ice-sdpfrag" {
		t.Errorf("%v", a.header)
	}
	// Section 4.2: the answer is recvonly, the bundle holds one transport, and RTCP is multiplexed.
	if !strings.Contains(a.body, "a=recvonly") || !strings.Contains(a.body, "a=rtcp-mux") || strings.Contains(a.body, "m=audio 0") {
		t.Error(a.body)
	}
	h.until("media", func() bool { return h.heard("caller") > 5 })
	if got := h.sessions[0]; got.Call != "c all" || got.Leg != "caller" || got.Metadata["queue"] != "payments" || got.Sender.Name != "pbx" {
		t.Errorf("%+v", got)
	}
	// Section 4.2: DELETE of the session URL ends it, with 200; afterwards there is none.
	if d := h.ask(http.MethodDelete, a.header.Get("Location"), "", "If-Match", `"wrong"`); d.status != http.StatusOK {
		t.Errorf("DELETE: HTTP %d", d.status)
	}
	if d := h.ask(http.MethodDelete, a.header.Get("Location"), ""); d.status != http.StatusNotFound {
		t.Errorf("second DELETE: HTTP %d", d.status)
	}
	if len(h.closed) != 1 || h.closed[0] != intake.HungUp {
		t.Errorf("closed %v: a session that ends by DELETE must not count as lost", h.closed)
	}
}

func TestSection4_2_WhatIsNoOfferIsRefused(t *testing.T) {
	h := newHouse(t, nil)
	_, offer := newSender(t, false)
	video := "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\na=mid:v\r\n"
	second := offer[strings.Index(offer, "m=audio"):]
	for name, c := range map[string]struct {
		body, kind string
		status     int
	}{
		"another type":       {offer, "text/plain", 415},
		"no type":            {offer, "", 415},
		"no SDP":             {"hello", "application/sdp", 400},
		"nothing":            {"", "application/sdp", 400},
		"larger than 64 KiB": {offer + strings.Repeat("a=x\r\n", 20000), "application/sdp", 413},
		"no audio":           {offer[:strings.Index(offer, "m=audio")] + video, "application/sdp", 406},
		"no codec that is known": {
			regexp.MustCompile(`(?m)^m=audio.*`).ReplaceAllString(
				regexp.MustCompile(`(?m)^a=(rtpmap|fmtp|rtcp-fb).*\r\n`).ReplaceAllString(offer, ""),
				"m=audio 9 UDP/TLS/RTP/SAVPF 97",
			),
			"application/sdp",
			406,
		},
		"two audio tracks (4.2)": {offer + strings.Replace(second, "a=mid:0", "a=mid:1", 1), "application/sdp", 422},
		"recvonly (4.2)":         {strings.Replace(offer, "a=sendonly", "a=recvonly", 1), "application/sdp", 422},
		"inactive (4.2)":         {strings.Replace(offer, "a=sendonly", "a=inactive", 1), "application/sdp", 422},
		"no DTLS fingerprint":    {regexp.MustCompile(`(?m)^a=fingerprint.*\r\n`).ReplaceAllString(offer, ""), "application/sdp", 400},
		"no credentials":         {regexp.MustCompile(`(?m)^a=ice-(ufrag|pwd).*\r\n`).ReplaceAllString(offer, ""), "application/sdp", 400},
	} {
		if a := h.post(c.body, "Content-Type", c.kind); a.status != c.status ||
			!strings.HasPrefix(a.header.Get("Content-Type"), "application/problem+json") {
			t.Errorf("%s: HTTP %d %s, want %d", name, a.status, a.body, c.status)
		}
	}
	for _, path := range []string{
		"/whip/" + strings.Repeat("x", 200) + "/caller",
		"/whip/a%2Fb/caller",
		"/whip/call/%00",
		"/whip/call/caller?x=%01",
		"/whip/call/caller?channels=one",
	} {
		if a := h.ask(http.MethodPost, path, offer, "Content-Type", "application/sdp"); a.status != 400 {
			t.Errorf("%.40s: HTTP %d", path, a.status)
		}
	}
	for _, path := range []string{"/whip/call", "/whip/", "/whip/a/b/c/d"} {
		if a := h.ask(http.MethodPost, path, offer, "Content-Type", "application/sdp"); a.status != 404 {
			t.Errorf("%s: HTTP %d", path, a.status)
		}
	}
	if n := h.server.Stats().Open; n != 0 {
		t.Errorf("%d sessions are open", n)
	}
}

// Section 4.2: other methods. GET and HEAD have no content, the others are not allowed.
func TestSection4_2_Methods(t *testing.T) {
	h := newHouse(t, nil)
	for method, want := range map[string]int{"GET": 204, "HEAD": 204, "PUT": 405, "PATCH": 405, "DELETE": 405} {
		if a := h.ask(method, "/whip/call/caller", ""); a.status != want {
			t.Errorf("%s of the endpoint: HTTP %d, want %d", method, a.status, want)
		}
	}
	s, offer := newSender(t, false)
	a := h.post(offer)
	s.accept(t, a)
	for method, want := range map[string]int{"GET": 204, "HEAD": 204, "PUT": 405, "POST": 405} {
		if a := h.ask(method, a.header.Get("Location"), ""); a.status != want {
			t.Errorf("%s of a session: HTTP %d, want %d", method, a.status, want)
		}
	}
}

// Section 4.1: OPTIONS with Accept-Post, and CORS for the origins that are allowed.
func TestSection4_1_CORS(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.Origins = []string{"https://phone.example"} })
	a := h.ask(http.MethodOptions, "/whip/call/caller", "", "Authorization", "", "Origin", "https://phone.example")
	if a.status != 204 || a.header.Get("Accept-Post") != "application/sdp" ||
		a.header.Get("Access-Control-Allow-Origin") != "https://phone.example" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), "PATCH") ||
		!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Location") {
		t.Errorf("HTTP %d %v", a.status, a.header)
	}
	if a := h.ask(http.MethodOptions, "/whip/call/caller", "", "Origin", "https://evil.example"); a.header.Get(
		"Access-Control-Allow-Origin",
	) != "" {
		t.Errorf("%v", a.header)
	}
}

// Section 4.6: STUN and TURN servers are returned to authorized senders only, also before the offer by OPTIONS.
func TestSection4_6_Servers(t *testing.T) {
	engine, err := rtc.New(
		rtc.Config{
			TCPPort: -1,
			ICE:     rtc.ICE{URLs: []string{"stun:127.0.0.1:9", "turn:127.0.0.1:9?transport=tcp"}, Username: "me", Secret: `a "secret", or two`},
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	}()
	h := newHouse(t, func(c *whip.Config) { c.Engine = engine })
	want := []string{
		`<stun:127.0.0.1:9>; rel="ice-server"`,
		`<turn:127.0.0.1:9?transport=tcp>; rel="ice-server"; username="me"; credential="a \"secret\", or two"; credential-type="password"`,
	}
	if a := h.ask(http.MethodOptions, "/whip/call/caller", ""); a.status != 204 || !slices.Equal(a.header.Values("Link"), want) {
		t.Errorf("HTTP %d %q", a.status, a.header.Values("Link"))
	}
	for _, token := range []string{"", "Bearer bad"} {
		if a := h.ask(http.MethodOptions, "/whip/call/caller", "", "Authorization", token); a.status != 204 || a.header.Get("Link") != "" {
			t.Errorf("%q: HTTP %d %q", token, a.status, a.header.Values("Link"))
		}
	}
	s, offer := newSender(t, false)
	a := h.post(offer)
	s.accept(t, a)
	if !slices.Equal(a.header.Values("Link"), want) {
		t.Errorf("%q", a.header.Values("Link"))
	}
}

// Section 4.3.1: trickled candidates arrive by PATCH, 204 without an ETag.
func TestSection4_3_1_TrickleICE(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, true)
	a := h.post(offer)
	s.accept(t, a)
	fragment := "a=ice-ufrag:" + attribute(
		offer,
		"ice-ufrag",
	) + "\r\na=ice-pwd:" + attribute(
		offer,
		"ice-pwd",
	) + "\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
	for _, line := range regexp.MustCompile(`(?m)^a=candidate.*\r\n`).FindAllString(s.pc.LocalDescription().SDP, -1) {
		fragment += line
	}
	where, kind := a.header.Get("Location"), "application/trickle-ice-sdpfrag"
	p := h.ask(http.MethodPatch, where, fragment, "Content-Type", kind, "If-Match", a.header.Get("ETag"))
	if p.status != 204 || p.header.Get("ETag") != "" || p.body != "" {
		t.Errorf("HTTP %d %v %s", p.status, p.header, p.body)
	}
	h.until("media", func() bool { return h.heard("caller") > 5 })
	for name, c := range map[string]struct {
		body, kind, match string
		status            int
	}{
		"a stale ETag (412)":     {fragment, kind, `"stale"`, 412},
		"a star is for restarts": {fragment, kind, "*", 412},
		"another type":           {fragment, "application/sdp", a.header.Get("ETag"), 415},
		"no fragment":            {"hello", kind, a.header.Get("ETag"), 400},
		"an empty one":           {"", kind, a.header.Get("ETag"), 400},
	} {
		if p := h.ask(http.MethodPatch, where, c.body, "Content-Type", c.kind, "If-Match", c.match); p.status != c.status {
			t.Errorf("%s: HTTP %d, want %d", name, p.status, c.status)
		}
	}
	// Without If-Match: the RFC requires 428. By default the request is accepted and counted, because many clients omit the header.
	if p := h.ask(http.MethodPatch, where, fragment, "Content-Type", kind); p.status != 204 || h.server.Stats().Lenient != 1 {
		t.Errorf("HTTP %d, %+v", p.status, h.server.Stats())
	}
}

func TestSection4_3_1_StrictPreconditions(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.StrictPreconditions = true })
	s, offer := newSender(t, false)
	a := h.post(offer)
	s.accept(t, a)
	if p := h.ask(
		http.MethodPatch,
		a.header.Get("Location"),
		"a=end-of-candidates\r\n",
		"Content-Type",
		"application/trickle-ice-sdpfrag",
	); p.status != 428 {
		t.Errorf("HTTP %d", p.status)
	}
}

func attribute(sdp, name string) string {
	m := regexp.MustCompile(`(?m)^a=` + name + `:(.*)\r$`).FindStringSubmatch(sdp)
	if m == nil {
		return ""
	}
	return m[1]
}

// Section 4.3.2: an ICE restart is answered with 200, new credentials and a new ETag, and the media continues.
func TestSection4_3_2_ICERestart(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	a := h.post(offer)
	s.accept(t, a)
	h.until("media", func() bool { return h.heard("caller") > 5 })
	next, err := s.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(s.pc)
	if err := s.pc.SetLocalDescription(next); err != nil {
		t.Fatal(err)
	}
	<-gathered
	text := s.pc.LocalDescription().SDP
	fragment := "a=ice-ufrag:" + attribute(
		text,
		"ice-ufrag",
	) + "\r\na=ice-pwd:" + attribute(
		text,
		"ice-pwd",
	) + "\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"
	for _, line := range regexp.MustCompile(`(?m)^a=candidate.*\r\n`).FindAllString(text, -1) {
		fragment += line
	}
	kind := "application/trickle-ice-sdpfrag"
	if p := h.ask(http.MethodPatch, a.header.Get("Location"), fragment, "Content-Type", kind, "If-Match", `"stale"`); p.status != 412 {
		t.Errorf("a stale ETag: HTTP %d", p.status)
	}
	p := h.ask(http.MethodPatch, a.header.Get("Location"), fragment, "Content-Type", kind, "If-Match", "*")
	if p.status != 200 || p.header.Get("Content-Type") != kind || p.header.Get("ETag") == a.header.Get("ETag") || p.header.Get("ETag") == "" {
		t.Fatalf("HTTP %d %v %s", p.status, p.header, p.body)
	}
	ufrag, pwd := attribute(p.body, "ice-ufrag"), attribute(p.body, "ice-pwd")
	if ufrag == "" || ufrag == attribute(a.body, "ice-ufrag") || !strings.Contains(p.body, "a=candidate:") {
		t.Errorf("%s", p.body)
	}
	if of := regexp.MustCompile(`a=candidate:\S+ [^1]`).FindString(p.body); of != "" {
		t.Errorf("a candidate of RTCP, which shares the port: %s", p.body)
	}
	remote := strings.NewReplacer(attribute(a.body, "ice-ufrag"), ufrag, attribute(a.body, "ice-pwd"), pwd).Replace(a.body)
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: remote}); err != nil {
		t.Fatal(err)
	}
	before := h.heard("caller")
	h.until("media after the restart", func() bool { return h.heard("caller") > before+20 })
	if n := h.server.Stats().Open; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Section 4.5: bearer tokens on the endpoint and on the session, and a session accepts its own token only.
func TestSection4_5_Authentication(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	for _, header := range []string{"", "Bearer bad", "Basic good", "Bearer ", "good"} {
		if a := h.post(offer, "Authorization", header); a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: HTTP %d", header, a.status)
		}
	}
	a := h.post(offer)
	s.accept(t, a)
	for header, want := range map[string]int{"": 401, "Bearer bad": 401, "Bearer other": 404} {
		for _, method := range []string{"PATCH", "DELETE", "GET"} {
			if p := h.ask(method, a.header.Get("Location"), "", "Authorization", header); p.status != want {
				t.Errorf("%s with %q: HTTP %d, want %d", method, header, p.status, want)
			}
		}
	}
	if n := h.server.Stats().Open; n != 1 {
		t.Errorf("%d sessions", n)
	}
}

// Section 4.8: overload is 503 with Retry-After. The same holds during the shutdown.
func TestSection4_8_Overload(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.MaxSessions, c.MaxPerToken = 2, 1 })
	s, offer := newSender(t, false)
	s.accept(t, h.post(offer))
	if a := h.post(offer); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("one token too many: HTTP %d %v", a.status, a.header)
	}
	h.server.Drain()
	if a := h.post(offer, "Authorization", "Bearer other"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("while draining: HTTP %d %v", a.status, a.header)
	}
	h.refuse = &intake.Refusal{RetryAfter: 1500 * time.Millisecond, Reason: "full"}
	h2 := newHouse(t, nil)
	h2.refuse = h.refuse
	if a := h2.post(offer); a.status != 503 || a.header.Get("Retry-After") != "2" || h2.server.Stats().Open != 0 {
		t.Errorf("with all sessions in use: HTTP %d %v", a.status, a.header)
	}
}
