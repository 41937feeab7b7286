package app_test

import (
	"bytes"
	"context"
	"encoding/json"
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

	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/internal/app"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/publish"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sidecar is a running app with a simulated analysis API.
type sidecar struct {
	errors int // that the test expects in the log
	t      *testing.T
	app    *app.App
	stand  *simulator.Server
	stop   func()
	log    *testkit.Log
	dir    string
	idle   func() // closes the idle connections to the simulator
}

func newSidecar(t *testing.T, script simulator.Script, tokens auth.Tokens, change func(*config.Config)) *sidecar {
	t.Helper()
	return newSidecarWith(t, script, tokens, change, nil)
}

func newSidecarWith(
	t *testing.T, script simulator.Script, tokens auth.Tokens, change func(*config.Config), with func(*app.Options),
) *sidecar {
	t.Helper()
	s := &sidecar{t: t, stand: simulator.New(script), log: &testkit.Log{}}
	api := httptest.NewServer(s.stand)
	meter := app.NewMeter()
	client, err := analyzer.New("key", &analyzer.Options{
		BaseURL:     api.URL,
		Observe:     meter.Request,
		PollInitial: 5 * time.Millisecond,
		PollMax:     20 * time.Millisecond,
		Deadline:    20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.idle = client.CloseIdleConnections
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.WebRTC.UDPPort, cfg.WebRTC.TCPPort = 0, 0
	cfg.Analysis.RatePerSecond = 1000
	if change != nil {
		change(&cfg)
	}
	s.dir = cfg.DataDir
	storetest.Empty(t, s.dir)
	level := &slog.LevelVar{}
	opt := app.Options{
		Config:  cfg,
		Tokens:  tokens,
		API:     client,
		Version: "1.2.3",
		Meter:   meter,
		Log:     slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: level})),
		Level:   level,
	}
	if with != nil {
		with(&opt)
	}
	s.app, err = app.New(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.app.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		http.DefaultClient.CloseIdleConnections()
		if err := <-done; err != nil {
			t.Error(err)
		}
		client.CloseIdleConnections()
		api.Close()
		if got := strings.Count(s.log.String(), "level=ERROR"); got != s.errors {
			t.Error(s.log.String())
		}
	})
	t.Cleanup(s.stop)
	return s
}

// get sends a request to the API of the sidecar.
func (s *sidecar) get(method, path, token string) (int, map[string]any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+s.app.Addr()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	answer := map[string]any{}
	if json.Unmarshal(data, &answer) != nil {
		answer["text"] = string(data)
	}
	return resp.StatusCode, answer
}

// play publishes a voice of the demo as a leg, for at most the given number of seconds.
func (s *sidecar) play(
	ctx context.Context,
	voice []byte,
	call, leg string,
	seconds int,
	how publish.Impairment,
) (publish.Summary, *publish.Media) {
	s.t.Helper()
	media, err := publish.Opus(bytes.NewReader(voice))
	if err != nil {
		s.t.Fatal(err)
	}
	media.Packets = media.Packets[:min(len(media.Packets), seconds*50)]
	sum, err := publish.Run(
		ctx,
		media,
		&publish.Options{To: fmt.Sprintf("http://%s/whip/%s/%s", s.app.Addr(), call, leg), Token: "in", Impairment: how},
	)
	if err != nil {
		s.t.Fatal(err)
	}
	return sum, media
}

// stored returns the report of a call from the database after the sidecar has stopped.
func (s *sidecar) stored(call string) report.CallReport {
	s.t.Helper()
	db, err := store.Open(context.Background(), store.Options{Dir: s.dir})
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := screen.NewDecider(screen.DeciderConfig{Store: db}).Report(context.Background(), call)
	if err := errors.Join(err, db.Close()); err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *sidecar) ended(call string) report.CallReport {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, err := s.app.Ended(ctx, call)
	if err != nil {
		s.t.Fatalf("call %s: %v", call, err)
	}
	return r
}
