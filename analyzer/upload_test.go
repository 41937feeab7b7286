package analyzer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
)

// The request has one field, a file name without information, a known length, and the same bytes in a retry.
func TestUpload(t *testing.T) {
	var names, bodies []string
	fails := 2
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("length %d, transfer encoding %v", r.ContentLength, r.TransferEncoding)
		}
		if r.Header.Get("ds-api-token") != secret || r.URL.Path != "/base/api/v4/deepfake/audio/analyze" || r.Method != http.MethodPost {
			t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("ds-api-token"))
		}
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		form := multipart.NewReader(r.Body, params["boundary"])
		part, err := form.NextRawPart()
		if err != nil || part.FormName() != "file" || part.Header.Get("Content-Type") != "audio/wav" {
			t.Errorf("%v %v", part, err)
			return
		}
		data, _ := io.ReadAll(part)
		if _, err := form.NextRawPart(); !errors.Is(err, io.EOF) {
			t.Errorf("a second field: %v", err)
		}
		names, bodies = append(names, part.FileName()), append(bodies, string(data))
		if fails--; fails >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"id":"a","status":"completed","score":0.25,"verdict":"deepfake_unlikely"}`)
	}))
	defer server.Close()
	c, err := analyzer.New(secret, &analyzer.Options{BaseURL: server.URL + "/base/", PollInitial: 1, PollMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	file := filepath.Join(t.TempDir(), "Mrs Smith +15551234.wav")
	want := "RIFFxxxxWAVE" + strings.Repeat("sound", 20000)
	if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	audio, err := analyzer.FileAudio(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Analyze(t.Context(), audio, nil)
	if err != nil || got.Score != 0.25 || got.Verdict != "deepfake_unlikely" {
		t.Fatalf("%+v %v", got, err)
	}
	if len(bodies) != 3 || bodies[0] != want || bodies[1] != want || bodies[2] != want {
		t.Errorf("%d uploads, not all of them the file", len(bodies))
	}
	for i, name := range names {
		if !regexp.MustCompile(`^[a-z0-9]{20,}\.wav$`).MatchString(name) || i > 0 && name == names[i-1] {
			t.Errorf("file names %q", names)
		}
	}
	if _, err := analyzer.FileAudio(file + "x"); err == nil {
		t.Error("a file that is not there")
	}
}

func TestWhatCannotBeSentIsNotSent(t *testing.T) {
	r := newRig(t, simulator.Script{}, nil)
	for _, c := range []struct {
		audio analyzer.Audio
		kind  analyzer.Kind
	}{
		{analyzer.BytesAudio(make([]byte, analyzer.MaxSize)), analyzer.KindTooLarge},
		{analyzer.BytesAudio(nil), analyzer.KindUnreadable},
		{analyzer.Audio{Size: 10, Open: func() (io.ReadCloser, error) { return nil, os.ErrNotExist }}, analyzer.KindUnreadable},
	} {
		if _, err := r.client.Analyze(t.Context(), c.audio, nil); analyzer.Reason(err) != string(c.kind) {
			t.Errorf("error is %v, want %s", err, c.kind)
		}
	}
	if n := r.stand.Stats().Submits; n != 0 {
		t.Errorf("%d submissions", n)
	}
	// The largest permitted recording is sent.
	if _, err := r.client.Analyze(
		t.Context(),
		analyzer.BytesAudio(append([]byte("RIFFxxxxWAVE"), make([]byte, analyzer.MaxSize-13)...)),
		nil,
	); err != nil {
		t.Error(err)
	}
}

// An external id stays within its segment of the path.
func TestIDsCannotLeaveTheirPlace(t *testing.T) {
	var paths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.URL.EscapedPath()+"?"+r.URL.RawQuery)
		fmt.Fprint(w, `{"status":"queued"}`)
	}))
	defer server.Close()
	c, err := analyzer.New(secret, &analyzer.Options{BaseURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for id, want := range map[string]string{
		"../../admin": "..%2F..%2Fadmin",
		"a/b":         "a%2Fb",
		"a?b=c":       "a%3Fb=c",
		"a#b":         "a%23b",
		"a%2fb":       "a%252fb",
		"ü":           "%C3%BC",
	} {
		paths = nil
		if _, err := c.Poll(t.Context(), id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
		if len(paths) != 1 || paths[0] != "/api/v4/deepfake/job/"+want+"?" {
			t.Errorf("%q asks for %q", id, paths)
		}
	}
	paths = nil
	for _, id := range []string{"", ".", "..", "a b", "a\nb", "a\x00b", strings.Repeat("x", 300), "\xff"} {
		if _, err := c.Poll(t.Context(), id); analyzer.Reason(err) != string(analyzer.KindInvalidAnswer) {
			t.Errorf("%q: error is %v", id, err)
		}
	}
	if len(paths) > 0 {
		t.Errorf("asked for %q", paths)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	stand := simulator.New(
		simulator.Script{Rules: []simulator.Rule{{Submit: answer(simulator.Answer{Status: 502, Body: strings.Repeat("x", 5000), Times: 1})}}},
	)
	var mu sync.Mutex
	opened := 0
	server := httptest.NewUnstartedServer(stand)
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateNew {
			opened++
		}
	}
	server.Start()
	defer server.Close()
	c, err := analyzer.New(secret, &analyzer.Options{BaseURL: server.URL, PollInitial: 1, PollMax: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseIdleConnections()
	for i := range 20 {
		if _, err := c.Analyze(t.Context(), recording(i+1, 1000), nil); err != nil {
			t.Fatal(err)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if opened > 2 {
		t.Errorf("%d connections for %d requests", opened, stand.Stats().Submits+stand.Stats().Polls)
	}
}

func ExampleClient_Analyze() {
	stand := httptest.NewServer(simulator.New(simulator.Script{Rules: []simulator.Rule{{Result: simulator.Result{Score: 0.87}}}}))
	defer stand.Close()
	client, err := analyzer.New("your-key", &analyzer.Options{BaseURL: stand.URL, PollInitial: 1, PollMax: 1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	audio, err := analyzer.FileAudio("../testdata/audio/human.wav")
	if err != nil {
		fmt.Println(err)
		return
	}
	result, err := client.Analyze(context.Background(), audio, func(id string) { /* keep the id, so as not to pay again after a restart */ })
	if err != nil {
		retry, after := analyzer.Retryable(err)
		fmt.Println(err, retry, after)
		return
	}
	fmt.Println(result.Score, result.Verdict)
	// Output: 0.87 deepfake_likely
}
