package app_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/app"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// Two legs over real WebRTC are one call with one decision. Each leg is decided by itself, and the durations are correct.
func TestTwoLegsAreOneCall(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	var both sync.WaitGroup
	for leg, voice := range map[string][]byte{"caller": demo.Synthetic, "agent": demo.Human} {
		both.Go(func() {
			if sum, media := s.play(t.Context(), voice, "c1", leg, 12, publish.Impairment{}); sum.Err() != nil || sum.Connected != 1 ||
				sum.Packets != int64(len(media.Packets)) {
				t.Errorf("%s: %+v", leg, sum)
			}
		})
	}
	// The API shows the live call with a decision over the segments so far.
	var live map[string]any
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, live = s.get("GET", "/api/v1/calls/c1/decision?wait=1s", ""); live["decision"] == "flagged" || time.Now().After(end) {
			break
		}
	}
	if live["state"] != "live" || live["decision"] != "flagged" || live["final"] != true {
		t.Errorf("during the call: %v", live)
	}
	both.Wait()
	r := s.ended("c1")
	if r.Decision != "flagged" || r.State != "ended" || len(r.Legs) != 2 || r.Legs[0].Decision != "clear" || r.Legs[1].Decision != "flagged" {
		t.Errorf("%+v", r)
	}
	for _, l := range r.Legs {
		if got := time.Duration(l.Duration).Seconds(); got < 11.98 || got > 12.02 || l.Lost != 0 {
			t.Errorf("%s: %v s recorded of 12, %v lost", l.Leg, got, l.Lost)
		}
	}
	for _, u := range s.stand.Uploads() {
		if u.Rate != 16000 || u.Channels != 1 || u.Bits != 16 {
			t.Errorf("%+v", u)
		}
	}
	if _, list := s.get("GET", "/api/v1/calls?decision=flagged&state=ended&q=C1", ""); len(list["calls"].([]any)) != 1 ||
		list["next_cursor"] != "" {
		t.Errorf("%v", list)
	}
	if _, list := s.get("GET", "/api/v1/calls?decision=clear", ""); len(list["calls"].([]any)) != 0 {
		t.Errorf("%v", list)
	}
	_, m := s.get("GET", "/metrics", "")
	for _, want := range []string{
		"callscreen_packets_received_total 1200",
		"callscreen_packets_lost_total 0",
		"callscreen_whip_sessions_opened_total 2",
		"callscreen_legs_live 0",
		"go_goroutines",
	} {
		if !strings.Contains(m["text"].(string), want) {
			t.Errorf("the metrics do not contain %q", want)
		}
	}
	if code, page := s.get("GET", "/", ""); code != 200 || !strings.Contains(page["text"].(string), "flagged") {
		t.Errorf("the page: HTTP %d %v", code, page)
	}
}

// Audio of a paused leg is discarded, for example while a caller reads out a card number. The recording continues with silence,
// and the API returns the discarded time.
func TestPauseDiscardsTheAudioAndKeepsTheTime(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	var done sync.WaitGroup
	done.Go(func() { s.play(t.Context(), demo.Human, "card", "caller", 10, publish.Impairment{}) })
	time.Sleep(3 * time.Second)
	if code, a := s.get("POST", "/api/v1/calls/card/legs/caller/pause", ""); code != 200 || a["paused"] != true {
		t.Errorf("HTTP %d %v", code, a)
	}
	time.Sleep(4 * time.Second)
	code, a := s.get("POST", "/api/v1/calls/card/legs/caller/resume", "")
	if discarded, _ := a["discarded_seconds"].(float64); code != 200 || discarded < 3.5 || discarded > 5 {
		t.Errorf("HTTP %d %v", code, a)
	}
	for _, path := range []string{"/api/v1/calls/card/legs/nobody/pause", "/api/v1/calls/nobody/legs/caller/pause"} {
		if code, _ := s.get("POST", path, ""); code != 404 {
			t.Errorf("%s: HTTP %d", path, code)
		}
	}
	done.Wait()
	r := s.ended("card")
	if got := time.Duration(r.Duration).Seconds(); got < 9.98 || got > 10.02 {
		t.Errorf("recorded %v s of 10", got)
	}
	if got := time.Duration(r.Speech).Seconds(); got > 6.5 {
		t.Errorf("%v s of speech were recorded, although 4 s were paused", got)
	}
}

// A sidecar that is stopped during a call accepts no more audio, flushes the recorded audio and decides the call.
func TestStopInTheMiddleOfACall(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{Latency: 200 * time.Millisecond}, nil, nil)
	var done sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	done.Go(func() { s.play(ctx, demo.Synthetic, "stop", "caller", 20, publish.Impairment{}) })
	time.Sleep(6 * time.Second)
	s.stop()
	cancel()
	done.Wait()
	r := s.stored("stop")
	if r.State != "ended" || r.Decision != "flagged" || !r.Final || len(r.Segments) == 0 {
		t.Errorf("%+v", r)
	}
	for _, seg := range r.Segments {
		if !slices.Contains([]string{"scored", "skipped"}, seg.State) {
			t.Errorf("%+v", seg)
		}
	}
}

func TestTokensAndRoles(t *testing.T) {
	s := newSidecar(t, simulator.Script{}, auth.Tokens{"ingest": "in", "reviewer": "rev", "admin": "adm"}, nil)
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/readyz", "", 200},
		{"GET", "/api/v1/calls", "", 401},
		{"GET", "/api/v1/calls", "bad", 403},
		{"GET", "/api/v1/calls", "in", 403},
		{"GET", "/api/v1/calls", "rev", 200},
		{"GET", "/api/v1/calls", "adm", 200},
		{"GET", "/", "", 401},
		{"GET", "/", "rev", 200},
		{"POST", "/api/v1/calls/x/legs/y/pause", "rev", 404},
		{"POST", "/api/v1/calls/x/legs/y/pause", "in", 404},
		{"POST", "/whip/c/l", "rev", 401},
		{"POST", "/whip/c/l", "", 401},
		{"POST", "/whip/c/l", "in", 415},
		{"GET", "/api/v1/calls/none", "rev", 404},
		{"GET", "/api/v1/calls?decision=maybe", "rev", 400},
		{"GET", "/api/v1/calls?state=x", "rev", 400},
		{"GET", "/api/v1/calls?cursor=x", "rev", 400},
		{"GET", "/api/v1/calls/..%2F..%2Fetc", "rev", 404},
		{"GET", "/nothing", "", 404},
	} {
		if code, a := s.get(c.method, c.path, c.token); code != c.want {
			t.Errorf("%s %s with %q: HTTP %d %v, want %d", c.method, c.path, c.token, code, a, c.want)
		}
	}
	if sum, _ := s.play(t.Context(), demo.Human, "c", "l", 1, publish.Impairment{}); sum.Err() != nil {
		t.Error(sum.Err())
	}
}

// The start is refused without authentication on a public address, and with an unusable database, audio store, webhook secret,
// data folder or address. The error does not hold the password of the database.
func TestWhatIsRefusedAtStart(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"not on loopback, no tokens": {func(c *config.Config) { c.Listen = "0.0.0.0:0" }, "no authentication is configured"},
		"a database without tables":  {func(c *config.Config) { c.Database = "postgres://u:geheim@127.0.0.1:1/x" }, "database: "},
		"an audio store that is not": {func(c *config.Config) { c.Audio = "s3://x?endpoint=http://127.0.0.1:1" }, "audio"},
		"a webhook without a secret": {
			func(c *config.Config) { c.Webhooks = []config.Webhook{{Name: "x", SecretFiles: []string{"/dev/null"}}} },
			"starts with whsec_",
		},
		"a data_dir that is a file": {func(c *config.Config) { c.DataDir = "/dev/null" }, "data_dir"},
		"no address": {func(c *config.Config) {
			c.Listen = "203.0.113.1:1"
			c.Auth.Tokens = []config.Token{{Name: "x", Roles: []string{"admin"}, SHA256: strings.Repeat("ab", 32)}}
		}, "hint: set listen"},
	} {
		cfg := config.Default()
		cfg.Listen, cfg.DataDir, cfg.WebRTC.UDPPort, cfg.WebRTC.TCPPort = "127.0.0.1:0", t.TempDir(), 0, 0
		c.change(&cfg)
		if _, err := app.New(t.Context(), app.Options{Config: cfg, Log: slog.New(slog.DiscardHandler)}); err == nil ||
			!strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

// A leg is stopped by the API: its call ends and is decided, although the sender continues.
func TestStopByTheAPI(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	var done sync.WaitGroup
	done.Go(func() { s.play(t.Context(), demo.Human, "over", "caller", 20, publish.Impairment{}) })
	time.Sleep(6 * time.Second)
	if code, a := s.get("POST", "/api/v1/calls/over/legs/caller/stop", ""); code != 200 || a["stopped"] != true {
		t.Errorf("HTTP %d %v", code, a)
	}
	if code, _ := s.get("POST", "/api/v1/calls/over/legs/caller/stop", ""); code != 404 {
		t.Errorf("a second time: HTTP %d", code)
	}
	r := s.ended("over")
	if got := time.Duration(r.Duration).Seconds(); got < 4 || got > 7 || r.Decision != "clear" {
		t.Errorf("%v s recorded, %+v", got, r)
	}
	done.Wait()
}

// The query parameter channels maps the two channels of a stereo track to two legs.
func TestTwoPartiesOnOneTrack(t *testing.T) {
	t.Parallel()
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
	out, err := exec.Command(
		ffmpeg,
		"-v",
		"error",
		"-i",
		"../../testdata/audio/two-legs.wav",
		"-t",
		"20",
		"-ar",
		"48000",
		"-c:a",
		"libopus",
		"-b:a",
		"64k",
		"-f",
		"ogg",
		"-",
	).
		Output()
	if err != nil {
		t.Fatal(err)
	}
	media, err := publish.Opus(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	s := newSidecar(t, simulator.Script{}, nil, nil)
	sum, err := publish.Run(
		t.Context(),
		media,
		&publish.Options{To: "http://" + s.app.Addr() + "/whip/stereo/both?channels=caller,agent&queue=q"},
	)
	if err != nil || sum.Err() != nil {
		t.Fatal(err, sum.Err())
	}
	r := s.ended("stereo")
	if len(r.Legs) != 2 || r.Legs[0].Leg != "agent" || r.Legs[0].Decision != "clear" || r.Legs[1].Leg != "caller" ||
		r.Legs[1].Decision != "flagged" ||
		r.Metadata["queue"] != "q" {
		t.Errorf("%+v", r)
	}
	for _, l := range r.Legs {
		if got := time.Duration(l.Duration).Seconds(); got < 19.95 || got > 20.1 {
			t.Errorf("%s: recorded %v s of 20", l.Leg, got)
		}
	}
}

// A leg is fetched from a media server by WHEP until DELETE. A refused request gets an error that states the reason.
func TestLegsAreFetchedByWHEP(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{}, nil, nil)
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.Method + " " + r.Header.Get("Authorization"):
		default:
		}
		w.WriteHeader(http.StatusNotFound) // nothing is published yet
	}))
	defer server.Close()
	post := func(path, body string) int {
		resp, err := http.Post("http://"+s.app.Addr()+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	const leg = "/api/v1/calls/room/legs/caller/whep"
	for body, want := range map[string]int{
		"":                              400,
		"{}":                            400,
		`{"url":"ftp://x"}`:             400,
		`{"url":"http://u:p@h/"}`:       400,
		`{"url":"http://h/","other":1}`: 400,
	} {
		if got := post(leg, body); got != want {
			t.Errorf("%s: HTTP %d, want %d", body, got, want)
		}
	}
	good := `{"url":"` + server.URL + `/whep","token":"pull"}`
	if got := post(leg, good); got != 201 {
		t.Fatalf("HTTP %d", got)
	}
	if got := <-asked; got != "POST Bearer pull" {
		t.Errorf("the media server was asked %q", got)
	}
	if got := post(leg, good); got != 409 {
		t.Errorf("a second time: HTTP %d", got)
	}
	if _, call := s.get("GET", "/api/v1/calls/room", ""); call["state"] != "live" {
		t.Errorf("%v", call)
	}
	if code, _ := s.get("DELETE", leg, ""); code != 200 {
		t.Errorf("DELETE: HTTP %d", code)
	}
	if code, _ := s.get("DELETE", leg, ""); code != 404 {
		t.Errorf("second DELETE: HTTP %d", code)
	}
	if r := s.ended("room"); r.State != "ended" || r.Decision != "inconclusive" {
		t.Errorf("%+v", r)
	}
}
