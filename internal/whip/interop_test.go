package whip_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"callscreen/internal/whip"
)

// The audio of a sender arrives in forms of offers that used to be refused, or answered so that no audio came.
func TestOddSendersAreHeard(t *testing.T) {
	nothing := func(*webrtc.SettingEngine) {}
	none := func(*webrtc.PeerConnection) error { return nil }
	for name, c := range map[string]struct {
		first  func(*webrtc.PeerConnection) error
		change func(string) string
	}{
		"it waits for the DTLS connection": {none, func(s string) string { return strings.Replace(s, "a=setup:actpass", "a=setup:passive", 1) }},
		"its DTLS role is missing":         {none, func(s string) string { return strings.Replace(s, "a=setup:actpass\r\n", "", 1) }},
		"its direction is missing":         {none, func(s string) string { return strings.Replace(s, "a=sendonly\r\n", "", 1) }},
		"its direction is of the session": {none, func(s string) string {
			return strings.Replace(strings.Replace(s, "a=sendonly\r\n", "", 1), "t=0 0\r\n", "t=0 0\r\na=sendonly\r\n", 1)
		}},
		"its video comes first": {func(pc *webrtc.PeerConnection) error {
			_, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeVideo)
			return err
		}, func(s string) string { return s }},
		"its data channel comes first": {func(pc *webrtc.PeerConnection) error {
			_, err := pc.CreateDataChannel("control", nil)
			return err
		}, func(s string) string { return s }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			s, offer := newSenderWith(t, false, nothing, c.first)
			s.accept(t, h.post(c.change(offer)))
			h.until("media", func() bool { return h.heard("caller") > 5 })
		})
	}
}

// proxy strips a path prefix, and names it in X-Forwarded-Prefix as some proxies do.
func proxy(t *testing.T, to, prefix string) *httptest.Server {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Set("X-Forwarded-Prefix", prefix)
	}}
	s := httptest.NewServer(http.StripPrefix(strings.TrimSuffix(prefix, "/"), forward))
	t.Cleanup(s.Close)
	return s
}

// The address of a session holds behind a proxy that strips a prefix, for senders that resolve it as RFC 3986 wants and for those
// that append it to the host.
func TestTheLocationHoldsBehindAPathPrefix(t *testing.T) {
	h := newHouse(t, nil)
	_, offer := newSender(t, false)
	for _, prefix := range []string{"/cs", "/a/b/"} {
		p := proxy(t, h.http.URL, prefix)
		for _, end := range []string{"", "/"} {
			at := p.URL + strings.TrimSuffix(prefix, "/") + "/whip/call/caller" + end
			a := h.ask(http.MethodPost, at, offer, "Content-Type", "application/sdp")
			base, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			session, err := base.Parse(a.header.Get("Location"))
			if a.status != http.StatusCreated || err != nil {
				t.Fatalf("HTTP %d %s, %v", a.status, a.body, err)
			}
			if appended := p.URL + a.header.Get("Location"); session.String() != appended {
				t.Errorf("%s and %s", session, appended)
			}
			for _, want := range []int{200, 404} {
				if d := h.ask(http.MethodDelete, session.String(), ""); d.status != want {
					t.Errorf("DELETE of %s: HTTP %d, want %d", session, d.status, want)
				}
			}
		}
	}
	for _, bad := range []string{"cs", "//evil.example", "https://evil.example", "/a\\b", "/" + strings.Repeat("x", 300), "/?x", "/#x"} {
		a := h.post(offer, "X-Forwarded-Prefix", bad)
		if at := a.header.Get("Location"); !strings.HasPrefix(at, "/whip/session/") {
			t.Errorf("%q: %s", bad, at)
		}
	}
}

// If-Match is a list of entity tags, compared strongly: RFC 9110 section 13.1.1.
func TestIfMatchIsAList(t *testing.T) {
	h := newHouse(t, nil)
	_, offer := newSender(t, true)
	a := h.post(offer)
	etag := a.header.Get("ETag")
	for match, want := range map[string]int{
		etag:                           204,
		`"other", ` + etag:             204,
		`"other",` + etag + ` , W/"x"`: 204,
		`"a, b", "",` + etag:           204,
		`W/` + etag:                    412,
		`"other", W/` + etag:           412,
		`"other", "another"`:           412,
		strings.Trim(etag, `"`):        412,
		`"prefix` + strings.Trim(etag, `"`) + `"`: 412,
	} {
		p := h.ask(
			http.MethodPatch,
			a.header.Get("Location"),
			"a=end-of-candidates\r\n",
			"Content-Type",
			fragmentKind,
			"If-Match",
			match,
		)
		if p.status != want {
			t.Errorf("%s: HTTP %d, want %d", match, p.status, want)
		}
	}
}

// A page of an allowed origin can read a refusal for its token, and which kind of token is wanted.
func TestPagesCanReadARefusal(t *testing.T) {
	const page = "https://phone.example"
	h := newHouse(t, func(c *whip.Config) { c.Origins = []string{page} })
	_, offer := newSender(t, false)
	session := h.post(offer).header.Get("Location")
	for _, c := range []struct{ method, path string }{
		{"POST", "/whip/call/caller"}, {"PATCH", session}, {"DELETE", session}, {"DELETE", "/whip/session/none"},
	} {
		a := h.ask(c.method, c.path, offer, "Content-Type", "application/sdp", "Origin", page, "Authorization", "Bearer bad")
		if a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != page ||
			!strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("%s %s: HTTP %d %v", c.method, c.path, a.status, a.header)
		}
	}
}
