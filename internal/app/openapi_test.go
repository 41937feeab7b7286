package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"callscreen/analyzer/simulator"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/store"
)

// contract holds the parts of the OpenAPI document that the test needs.
type contract struct {
	t       *testing.T
	schemas *jsonschema.Compiler
	// operations holds the responses by operation, such as "GET /api/v1/calls/{call}", and by status.
	operations map[string]map[string]response
	seen       map[string]bool // operations and statuses that the server has returned
}

type response struct {
	Ref     string         `json:"$ref"`
	Content map[string]any `json:"content"`
	at      string         // its place in the document
}

const documentURL = "https://callscreen.invalid/openapi.json"

func readContract(t *testing.T, text []byte) *contract {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	closeSchemas(doc)
	c := &contract{t: t, schemas: jsonschema.NewCompiler(), operations: map[string]map[string]response{}, seen: map[string]bool{}}
	c.schemas.AssertFormat()
	if err := c.schemas.AddResource(documentURL, doc); err != nil {
		t.Fatal(err)
	}
	var d struct {
		OpenAPI string `json:"openapi"`
		Paths   map[string]map[string]struct {
			Responses map[string]response `json:"responses"`
		} `json:"paths"`
		Components struct {
			Responses map[string]response `json:"responses"`
		} `json:"components"`
	}
	if err := json.Unmarshal(text, &d); err != nil || d.OpenAPI != "3.1.0" {
		t.Fatal(d.OpenAPI, err)
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1")
	for path, methods := range d.Paths {
		for method, op := range methods {
			responses := map[string]response{}
			for status, r := range op.Responses {
				r.at = "/paths/" + pointer.Replace(path) + "/" + method + "/responses/" + status
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					r = d.Components.Responses[name]
					r.at = "/components/responses/" + name
				}
				responses[status] = r
			}
			c.operations[strings.ToUpper(method)+" "+path] = responses
		}
	}
	return c
}

// closeSchemas forbids additional properties, so that an undocumented field is an error.
func closeSchemas(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		if _, ok := v["allOf"]; ok {
			return // each schema of the combination also sees the fields of the others
		}
		for k, inner := range v {
			if k != "Problem" { // RFC 9457 permits additional members
				closeSchemas(inner)
			}
		}
	case []any:
		for _, inner := range v {
			closeSchemas(inner)
		}
	}
}

// check compares a response with the document.
func (c *contract) check(operation string, a answered, body []byte) {
	c.t.Helper()
	status := strconv.Itoa(a.status)
	r, ok := c.operations[operation][status]
	if !ok {
		c.t.Errorf("%s: HTTP %s is not documented: %s", operation, status, body)
		return
	}
	c.seen[operation+" "+status] = true
	kind, _, _ := strings.Cut(a.kind, ";")
	if len(r.Content) == 0 || len(body) == 0 {
		return
	}
	if _, ok := r.Content[kind]; !ok {
		c.t.Errorf("%s: HTTP %s of type %q is not documented", operation, status, kind)
		return
	}
	if !strings.HasSuffix(kind, "json") {
		return
	}
	schema, err := c.schemas.Compile(documentURL + "#" + r.at + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema")
	if err != nil {
		c.t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		c.t.Errorf("%s: HTTP %s is not as documented: %v\n%s", operation, status, err, body)
	}
}

var pathValue = regexp.MustCompile(`\{([a-z]+)\}`)

// The OpenAPI document and the handlers agree: each documented operation exists, each operation is documented, and real
// responses match their schemas.
func TestTheAPIIsAsDocumented(t *testing.T) {
	var times atomic.Int32 // the webhook endpoint first refuses messages; the media server has no stream at first
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/whep":
			w.WriteHeader(http.StatusNotFound)
		case times.Add(1) == 1:
			w.WriteHeader(http.StatusGone)
		}
	}))
	defer gone.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 32))), 0o600); err != nil {
		t.Fatal(err)
	}
	lost := simulator.Rule{Match: simulator.Match{To: 1}, Submit: &simulator.Answer{Status: http.StatusGatewayTimeout}}
	script := simulator.Script{Rules: []simulator.Rule{lost}}
	s := newSidecar(t, script, auth.Tokens{"ingest": "in", "reviewer": "rev", "admin": "adm"}, func(c *config.Config) {
		c.Analysis.ResendInDoubt = false
		c.Webhooks = []config.Webhook{{Name: "crm", URL: gone.URL, Events: []string{"call.flagged"}, SecretFiles: []string{secret}}}
		c.Retention.Flagged = time.Hour
	})
	if sum, _ := s.play(t.Context(), demo.Human, "held", "caller", 5, publish.Impairment{}); sum.Err() != nil { // in doubt
		t.Fatal(sum.Err())
	}
	if sum, _ := s.play(t.Context(), demo.Synthetic, "c1", "caller", 7, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	report := s.ended("c1")
	if report.Decision != "flagged" {
		t.Fatalf("%+v", report)
	}
	held := s.ended("held").Segments[0].ID
	segment := report.Segments[0].ID
	_, text := s.ask("GET", "/api/v1/openapi.json", "", "")
	c := readContract(t, text)

	patterns := map[string]bool{}
	for _, p := range s.app.Patterns() {
		if strings.Contains(p, " /api/") {
			patterns[p] = true
		}
	}
	documented, there := slices.Sorted(maps.Keys(c.operations)), slices.Sorted(maps.Keys(patterns))
	if !slices.Equal(documented, there) {
		t.Errorf("documented %q\nthere      %q", documented, there)
	}

	// A live call, for the operations on live calls.
	ctx, hangUp := context.WithCancel(t.Context())
	played := make(chan struct{})
	go func() {
		defer close(played)
		s.play(ctx, demo.Human, "live", "caller", 20, publish.Impairment{})
	}()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if a, _ := s.ask("POST", "/api/v1/calls/live/legs/caller/pause", "in", ""); a.status == 200 || time.Now().After(end) {
			break
		}
	}
	dead := s.deadLetter()
	s.log.Reset() // removes the expected error
	const call, leg = "/api/v1/calls/{call}", "/api/v1/calls/{call}/legs/{leg}"
	for _, q := range []struct {
		operation, path, token, body string
		status                       int
	}{
		{"GET /api/v1/calls", "/api/v1/calls?review=waiting", "rev", "", 200},
		{"GET /api/v1/calls", "/api/v1/calls?state=x", "rev", "", 400},
		{"GET " + call, "/api/v1/calls/c1", "rev", "", 200},
		{"GET " + call, "/api/v1/calls/live", "rev", "", 200},
		{"GET " + call, "/api/v1/calls/x", "rev", "", 404},
		{"GET " + call + "/decision", "/api/v1/calls/c1/decision?wait=1s", "rev", "", 200},
		{"GET " + call + "/decision", "/api/v1/calls/c1/decision?wait=x", "rev", "", 400},
		{"GET " + call + "/decision", "/api/v1/calls/x/decision", "rev", "", 404},
		{"POST " + call + "/review", "/api/v1/calls/c1/review", "rev", `{"action":"claim","version":1}`, 200},
		{"POST " + call + "/review", "/api/v1/calls/c1/review", "rev", `{"action":"claim","version":1}`, 409},
		{"POST " + call + "/review", "/api/v1/calls/c1/review", "rev", `{"action":"dispose","version":2,"disposition":"unsure","note":"n"}`, 200},
		{"POST " + call + "/review", "/api/v1/calls/c1/review", "rev", "{}", 400},
		{"POST " + call + "/review", "/api/v1/calls/x/review", "rev", `{"action":"claim","version":1}`, 404},
		{"POST " + call + "/review", "/api/v1/calls/c1/review", "rev", "text", 415},
		{"GET " + call, "/api/v1/calls/c1", "rev", "", 200}, // with a review that is closed
		{"GET " + call + "/history", "/api/v1/calls/c1/history", "rev", "", 200},
		{"GET " + call + "/history", "/api/v1/calls/x/history", "rev", "", 404},
		{"GET " + call + "/waveform", "/api/v1/calls/c1/waveform", "rev", "", 200},
		{"GET " + call + "/waveform", "/api/v1/calls/c1/waveform?points=1", "rev", "", 400},
		{"GET " + call + "/waveform", "/api/v1/calls/x/waveform", "rev", "", 404},
		{"GET /api/v1/segments/{id}/audio", "/api/v1/segments/" + segment + "/audio", "rev", "", 200},
		{"GET /api/v1/segments/{id}/audio", "/api/v1/segments/x/audio", "rev", "", 404},
		{"GET /api/v1/segments/{id}/audio", "/api/v1/segments/" + segment + "/audio", "rev", "bytes=44-99", 206},
		{"GET /api/v1/segments/{id}/audio", "/api/v1/segments/" + segment + "/audio", "rev", "bytes=99999999-", 416},
		{"POST /api/v1/segments/{id}/resend", "/api/v1/segments/" + held + "/resend", "adm", "", 204},
		{"POST /api/v1/segments/{id}/resend", "/api/v1/segments/" + segment + "/resend", "adm", "", 404}, // it does not wait
		{"GET /api/v1/events", "/api/v1/events?after=0", "rev", "", 200},
		{"GET /api/v1/events", "/api/v1/events?after=x", "rev", "", 400},
		{"GET /api/v1/openapi.json", "/api/v1/openapi.json", "", "", 200},
		{"GET /api/v1/webhooks/dead", "/api/v1/webhooks/dead", "adm", "", 200},
		{"POST /api/v1/webhooks/endpoints/{endpoint}/enable", "/api/v1/webhooks/endpoints/crm/enable", "adm", "", 204},
		{"POST /api/v1/webhooks/endpoints/{endpoint}/enable", "/api/v1/webhooks/endpoints/crm/enable", "adm", "", 404},
		{"POST /api/v1/webhooks/dead/{message}/{endpoint}/replay", "/api/v1/webhooks/dead/" + dead + "/crm/replay", "adm", "", 204},
		{"POST /api/v1/webhooks/dead/{message}/{endpoint}/replay", "/api/v1/webhooks/dead/x/crm/replay", "adm", "", 404},
		{"PUT /api/v1/log-level", "/api/v1/log-level", "adm", `{"level":"debug"}`, 200},
		{"PUT /api/v1/log-level", "/api/v1/log-level", "adm", `{"level":"loud"}`, 400},
		{"POST " + leg + "/pause", "/api/v1/calls/live/legs/caller/pause", "in", "", 200},
		{"POST " + leg + "/pause", "/api/v1/calls/x/legs/caller/pause", "in", "", 404},
		{"POST " + leg + "/resume", "/api/v1/calls/live/legs/caller/resume", "in", "", 200},
		{"POST " + leg + "/resume", "/api/v1/calls/live/legs/x/resume", "in", "", 404},
		{"POST " + leg + "/whep", "/api/v1/calls/w/legs/x/whep", "in", `{"url":"` + gone.URL + `/whep"}`, 201},
		{"POST " + leg + "/whep", "/api/v1/calls/w/legs/x/whep", "in", `{"url":"` + gone.URL + `/whep"}`, 409},
		{"POST " + leg + "/whep", "/api/v1/calls/w/legs/x/whep", "in", "{}", 400},
		{"DELETE " + leg + "/whep", "/api/v1/calls/w/legs/x/whep", "in", "", 200},
		{"DELETE " + leg + "/whep", "/api/v1/calls/w/legs/x/whep", "in", "", 404},
		{"DELETE " + call, "/api/v1/calls/live?reason=test", "adm", "", 409},
		{"POST " + leg + "/stop", "/api/v1/calls/live/legs/caller/stop", "in", "", 200},
		{"POST " + leg + "/stop", "/api/v1/calls/x/legs/caller/stop", "in", "", 404},
		{"DELETE " + call, "/api/v1/calls/c1", "adm", "", 400},
		{"DELETE " + call, "/api/v1/calls/x?reason=test", "adm", "", 404},
	} {
		a, body := s.ask(strings.Fields(q.operation)[0], q.path, q.token, q.body)
		if a.status != q.status {
			t.Errorf("%s %s: HTTP %d %.300s, want %d", strings.Fields(q.operation)[0], q.path, a.status, body, q.status)
		}
		c.check(q.operation, a, body)
	}
	hangUp()
	<-played
	s.exchange(segment)
	const audio = "GET /api/v1/segments/{id}/audio"
	exchanged, body := s.ask("GET", "/api/v1/segments/"+segment+"/audio", "rev", "")
	if exchanged.status != http.StatusConflict {
		t.Errorf("%s of exchanged audio: HTTP %d", audio, exchanged.status)
	}
	c.check(audio, exchanged, body)
	s.log.Reset() // removes the expected error
	s.expire(segment)
	for _, q := range []struct{ operation, path string }{
		{"GET /api/v1/segments/{id}/audio", "/api/v1/segments/" + segment + "/audio"}, // 410
		{"GET " + call, "/api/v1/calls/c1"},
		{"DELETE " + call, "/api/v1/calls/c1?reason=test"}, // 204
	} {
		a, body := s.ask(strings.Fields(q.operation)[0], q.path, "adm", "")
		c.check(q.operation, a, body)
	}
	// All guarded operations return the documented error for a missing or unknown token.
	for operation, responses := range c.operations {
		if _, guarded := responses["401"]; !guarded {
			continue
		}
		method, path, _ := strings.Cut(pathValue.ReplaceAllString(operation, "x"), " ")
		for _, token := range []string{"", "nobody"} {
			a, body := s.ask(method, path, token, "")
			c.check(operation, a, body)
		}
	}
	for operation, responses := range c.operations {
		for status := range responses {
			if status != "default" && !c.seen[operation+" "+status] {
				t.Errorf("%s: HTTP %s is documented, but was never returned", operation, status)
			}
		}
	}
}

type answered struct {
	status int
	kind   string // of the content
}

// ask sends a request. A body that begins with "bytes=" is sent as a Range header instead. The body "text" is sent with a type
// other than JSON. Only the start of an event stream is read.
func (s *sidecar) ask(method, path, token, body string) (answered, []byte) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	header := http.Header{"Content-Type": {"application/json"}}
	switch {
	case strings.HasPrefix(body, "bytes="):
		header.Set("Range", body)
		body = ""
	case body == "text":
		header.Set("Content-Type", "text/plain")
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.app.Addr()+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = header
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answered{resp.StatusCode, resp.Header.Get("Content-Type")}
	if a.kind == "text/event-stream" {
		return a, nil
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return a, data
}

// deadLetter waits until the delivery of a message was given up and returns its id.
func (s *sidecar) deadLetter() string {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, list := s.get("GET", "/api/v1/webhooks/dead", "adm"); len(list["dead"].([]any)) > 0 {
			return list["dead"].([]any)[0].(map[string]any)["message"].(string)
		}
	}
	s.t.Fatal("the delivery of the message was not given up")
	return ""
}

// exchange changes the last sample in the stored audio of a segment.
func (s *sidecar) exchange(segment string) {
	s.t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, "audio", "*", segment+".wav"))
	if err != nil || len(files) != 1 {
		s.t.Fatal(files, err)
	}
	data, err := os.ReadFile(files[0])
	if err == nil {
		data[len(data)-1] ^= 1
		err = os.WriteFile(files[0], data, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// expire marks the audio of a segment as deleted, as retention does.
func (s *sidecar) expire(segment string) {
	s.t.Helper()
	db, err := store.Open(context.Background(), store.Options{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	g, err := db.Segment(context.Background(), segment)
	if err == nil {
		err = db.AudioDeleted(context.Background(), g.Call, []store.SegmentRow{g}, time.Now())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
