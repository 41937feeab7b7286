package app_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
)

var updateAccess = flag.Bool("update", false, "write the table of routes into docs/threat-model.md")

// judged has the group of identities that each route permits. A new route must be added here: decide who may use it.
var judged = map[string]string{
	"GET /api/v1/calls":                                      "viewers",
	"GET /api/v1/calls/{call}":                               "viewers",
	"GET /api/v1/calls/{call}/decision":                      "viewers",
	"GET /api/v1/calls/{call}/history":                       "viewers",
	"GET /api/v1/calls/{call}/waveform":                      "viewers",
	"GET /api/v1/events":                                     "viewers",
	"GET /api/v1/segments/{id}/audio":                        "viewers",
	"GET /calls/{call}":                                      "viewers",
	"GET /{$}":                                               "viewers",
	"POST /api/v1/calls/{call}/review":                       "reviewers",
	"POST /calls/{call}/review":                              "reviewers",
	"GET /backtest":                                          "reviewers",
	"DELETE /api/v1/calls/{call}":                            "admins",
	"GET /api/v1/webhooks/dead":                              "admins",
	"POST /api/v1/segments/{id}/resend":                      "admins",
	"POST /api/v1/webhooks/dead/{message}/{endpoint}/replay": "admins",
	"POST /api/v1/webhooks/endpoints/{endpoint}/enable":      "admins",
	"PUT /api/v1/log-level":                                  "admins",
	"GET /debug/pprof/":                                      "admins",
	"GET /debug/pprof/profile":                               "admins",
	"GET /debug/pprof/symbol":                                "admins",
	"GET /debug/pprof/trace":                                 "admins",
	"POST /whip/{call}/{leg}":                                "senders",
	"POST /api/v1/calls/{call}/legs/{leg}/pause":             "the sender and reviewers",
	"POST /api/v1/calls/{call}/legs/{leg}/resume":            "the sender and reviewers",
	"POST /api/v1/calls/{call}/legs/{leg}/stop":              "the sender and reviewers",
	"POST /api/v1/calls/{call}/legs/{leg}/whep":              "fixed senders",
	"DELETE /api/v1/calls/{call}/legs/{leg}/whep":            "the sender and reviewers",
	"GET /whip/{call}/{leg}":                                 "all",
	"PUT /whip/{call}/{leg}":                                 "all",
	"PATCH /whip/{call}/{leg}":                               "all",
	"DELETE /whip/{call}/{leg}":                              "all",
	"OPTIONS /whip/{call}/{leg}":                             "all",
	"OPTIONS /whip/session/{id}":                             "all",
	"GET /whip/session/{id}":                                 "the sender",
	"POST /whip/session/{id}":                                "the sender",
	"PUT /whip/session/{id}":                                 "the sender",
	"PATCH /whip/session/{id}":                               "the sender",
	"DELETE /whip/session/{id}":                              "the sender",
	"GET /healthz":                                           "all",
	"GET /readyz":                                            "all",
	"GET /metrics":                                           "all",
	"GET /api/v1/openapi.json":                               "all",
	"GET /static/{file}":                                     "all",
	"GET /login":                                             "all",
	"POST /login":                                            "all",
	"POST /logout":                                           "all",
	"GET /login/oidc":                                        "all",
	"GET /login/oidc/callback":                               "all",
}

// identities are the columns of the table, in order.
var identities = []string{"none", "bad token", "ingest", "signed, this leg", "signed, another call", "viewer", "reviewer", "admin"}

// permitted has the identities of each group.
var permitted = map[string][]string{
	"all":                      identities,
	"viewers":                  {"viewer", "reviewer", "admin"},
	"reviewers":                {"reviewer", "admin"},
	"admins":                   {"admin"},
	"fixed senders":            {"ingest", "admin"},
	"senders":                  {"ingest", "signed, this leg", "admin"},
	"the sender":               {"signed, this leg"},
	"the sender and reviewers": {"signed, this leg", "reviewer", "admin"},
}

// Each route of both listeners permits the identities that it should. The table in docs/threat-model.md has the result. It
// is written by: go test ./internal/app -run TestAccessOfEachRoute -update.
func TestAccessOfEachRoute(t *testing.T) {
	const secret = "a secret of more than thirty-two bytes"
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) {
		c.AdminListen = "127.0.0.1:0"
		c.WebRTC.RequestsPerSecond = 10_000
		c.Auth.TrustedProxies = []string{"127.0.0.1/32"} // each request has an address of its own, so that none is limited
		c.Auth.JWT.Secret = secret
		c.Auth.OIDC.Issuer, c.Auth.OIDC.ClientID = "http://127.0.0.1:1", "callscreen"
		for _, role := range []string{"ingest", "viewer", "reviewer", "admin"} {
			c.Auth.Tokens = append(c.Auth.Tokens, config.Token{
				Name:   role,
				Roles:  []string{role},
				SHA256: fmt.Sprintf("%x", sha256.Sum256([]byte("token-"+role))),
			})
		}
	})
	bearer := map[string]string{
		"bad token": "x.y.z", "ingest": "token-ingest", "viewer": "token-viewer", "reviewer": "token-reviewer", "admin": "token-admin",
		"signed, this leg": signedFor(secret, "c", "caller"), "signed, another call": signedFor(secret, "other", "caller"),
	}
	s.errors = len(identities) // the provider of single sign-on is away
	public, admin := s.app.Handlers()
	at := map[string]string{}
	for url, h := range map[string]http.Handler{s.app.URL(): public, s.app.AdminURL(): admin} {
		for _, pattern := range patternsOf(h) {
			if strings.HasPrefix(pattern, "/whip/") {
				pattern = strings.TrimSuffix(pattern, "/{$}") // the same handler
			}
			if at[pattern] == "" || url == s.app.URL() {
				at[pattern] = url
			}
		}
	}
	for _, p := range s.app.Patterns() {
		if at[p] == "" {
			t.Errorf("%s was not found, so routes may be missing", p)
		}
	}
	probe := &prober{t: t, base: at, bearer: bearer, offer: offerOf(t)}
	rows := map[string]string{}
	for _, route := range routesOf(slices.Collect(maps.Keys(at))) {
		group, ok := judged[route]
		if !ok {
			t.Errorf("%s is not judged (hint: decide who may use it, and add it to the map)", route)
			continue
		}
		rows[route] = "|`" + route + "`|"
		for _, who := range identities {
			status, refused := probe.ask(route, who)
			if refused == slices.Contains(permitted[group], who) {
				t.Errorf("%s is for %s, but %s gets HTTP %d", route, group, who, status)
			}
			if refused {
				rows[route] += fmt.Sprintf(" %d |", status)
			} else {
				rows[route] += " yes |"
			}
		}
	}
	for route := range judged {
		if rows[route] == "" {
			t.Errorf("%s is judged, but is no route", route)
		}
	}
	table := "|route| " + strings.Join(identities, " | ") + " |\n|" + strings.Repeat("---|", len(identities)+1) + "\n"
	for _, route := range slices.SortedFunc(maps.Keys(rows), byPath) {
		table += rows[route] + "\n"
	}
	compareAccess(t, table)
}

// compareAccess compares the table with the document, or writes it.
func compareAccess(t *testing.T, table string) {
	t.Helper()
	const begin, end = "<!-- routes: begin -->\n\n", "\n<!-- routes: end -->"
	file := filepath.Join("..", "..", "docs", "threat-model.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, there := strings.Cut(rest, end)
	if !ok || !there {
		t.Fatalf("%s has no marks for the table", file)
	}
	if old == table {
		return
	}
	if !*updateAccess {
		t.Errorf("the table in %s is not up to date (hint: go test ./internal/app -run TestAccessOfEachRoute -update)\n%s", file, table)
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+table+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// prober asks routes about the leg caller of call c, which the sender with the signed token sends.
type prober struct {
	asked   int // requests
	t       *testing.T
	base    map[string]string // by pattern
	bearer  map[string]string // by identity
	offer   string
	session string // path of the latest session
}

// ask returns the status for an identity, and whether it means a refusal.
func (p *prober) ask(route, who string) (status int, refused bool) {
	p.t.Helper()
	method, path, _ := strings.Cut(route, " ")
	session, leg := path == "/whip/session/{id}", strings.Contains(path, "/legs/{leg}/")
	if session || leg || route == "POST /whip/{call}/{leg}" {
		if status := p.send("POST", p.base["/whip/{call}/{leg}"]+"/whip/c/caller", "signed, this leg", p.offer); status != 201 {
			p.t.Fatalf("the sender gets HTTP %d", status)
		}
	}
	base := p.base[route]
	if base == "" {
		base = p.base[path]
	}
	body := ""
	switch route {
	case "POST /whip/{call}/{leg}":
		body = p.offer
	case "POST /login":
		body = "token=token-viewer"
	}
	if session {
		path = p.session
	}
	path = strings.NewReplacer("{$}", "", "{call}", "c", "{leg}", "caller").Replace(path)
	status = p.send(method, base+pathValue.ReplaceAllString(path, "x")+"?seconds=1", who, body)
	// The session of another sender looks like none.
	return status, status == 401 || status == 403 || session && status == 404
}

func (p *prober) send(method, url, who, body string) int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/sdp")
	if strings.HasPrefix(body, "token=") {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	p.asked++
	r.Header.Set("X-Forwarded-For", netip.AddrFrom4([4]byte{10, 0, byte(p.asked >> 8), byte(p.asked)}).String())
	if token := p.bearer[who]; token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close() // the event stream has no end
	if resp.StatusCode == http.StatusCreated && strings.HasPrefix(resp.Header.Get("Location"), "/whip/") {
		p.session = resp.Header.Get("Location")
	}
	return resp.StatusCode
}

// offerOf returns an offer to send audio.
func offerOf(t *testing.T) string {
	t.Helper()
	pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, init); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	return offer.SDP
}

// signedFor returns a signed token for a leg of a call.
func signedFor(secret, call, leg string) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"sub":"sbc","exp":%d,"call":%q,"leg":%q}`, time.Now().Add(time.Hour).Unix(), call, leg)
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// routesOf returns the routes of patterns. The server of WHIP looks at the method itself. Patterns without a method and without
// values only answer that there is nothing.
func routesOf(patterns []string) (routes []string) {
	for _, pattern := range patterns {
		switch {
		case strings.Contains(pattern, " "):
			routes = append(routes, pattern)
		case strings.Contains(pattern, "{"):
			for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				routes = append(routes, method+" "+pattern)
			}
		}
	}
	slices.SortFunc(routes, byPath)
	return routes
}

func byPath(a, b string) int {
	methodA, pathA, _ := strings.Cut(a, " ")
	methodB, pathB, _ := strings.Cut(b, " ")
	return cmp.Or(strings.Compare(pathA, pathB), strings.Compare(methodA, methodB))
}

// patternsOf returns all patterns of the muxes within a handler. net/http does not list them, so the test reads its fields.
func patternsOf(h http.Handler) (list []string) {
	seen := map[uintptr]bool{}
	mux := reflect.TypeFor[http.ServeMux]()
	var walk func(v reflect.Value, inside bool)
	walk = func(v reflect.Value, inside bool) {
		switch v.Kind() {
		case reflect.Interface:
			walk(v.Elem(), inside)
		case reflect.Pointer:
			if !v.IsNil() && !seen[v.Pointer()] {
				seen[v.Pointer()] = true
				walk(v.Elem(), inside)
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i), inside)
			}
		case reflect.Map:
			for i := v.MapRange(); i.Next(); {
				walk(i.Value(), inside)
			}
		case reflect.Struct:
			if v.Type().String() == "http.pattern" {
				list = append(list, v.FieldByName("str").String())
				return
			}
			for i := range v.NumField() {
				// Of other handlers only the muxes matter.
				if f := v.Field(i); inside && strings.HasPrefix(v.Type().PkgPath()+".", "net/http.") || v.Type() == mux ||
					f.Type() == reflect.PointerTo(mux) {
					walk(f, inside || v.Type() == mux)
				}
			}
		}
	}
	walk(reflect.ValueOf(h), false)
	slices.Sort(list)
	return slices.Compact(list)
}
