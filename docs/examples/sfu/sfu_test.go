package sfu_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/docs/examples/sfu"
	"callscreen/internal/app"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/intake"
	"callscreen/internal/publish"
	"callscreen/internal/rtc"
	"callscreen/internal/whip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a media server that has one listener for what it is sent: callscreen.
type server struct {
	api      *webrtc.API
	endpoint string
	failed   chan error
}

func (s *server) LastPacket() time.Time { return time.Time{} }

func (s *server) Accept(context.Context, intake.Request) (whip.Receiver, error) { return s, nil }
func (s *server) Close(intake.Departure)                                        {}

func (s *server) Track(ctx context.Context, track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) error {
	err := s.forward(ctx, track)
	s.failed <- err
	return err
}

func (s *server) forward(ctx context.Context, track *webrtc.TrackRemote) error {
	leg, err := sfu.Join(ctx, s.api, track.Codec().RTPCodecCapability, s.endpoint, "secret")
	if err != nil {
		return err
	}
	for {
		p, _, err := track.ReadRTP()
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return leg.Close()
		}
		if err == nil {
			err = leg.WriteRTP(p)
		}
		if err != nil {
			return errors.Join(err, leg.Close())
		}
	}
}

// A call goes to a media server, and from there to callscreen, which flags it.
func TestAServerOfYourOwnForwardsALeg(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	addr := callscreen(t, ctx)
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	s := &server{
		api:      webrtc.NewAPI(webrtc.WithSettingEngine(settings)),
		endpoint: "http://" + addr + "/whip/call-1/caller?queue=payments",
		failed:   make(chan error, 1),
	}
	engine, err := rtc.New(rtc.Config{TCPPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	in := whip.NewServer(whip.Config{Engine: engine, Intake: s})
	web := httptest.NewServer(in)
	defer func() {
		web.Close()
		in.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	media, err := publish.Opus(bytes.NewReader(demo.Synthetic))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := publish.Run(ctx, media, &publish.Options{To: web.URL + "/whip/any/any"})
	if err = errors.Join(err, sum.Err()); err != nil {
		t.Fatal(err)
	}
	if err := <-s.failed; err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1/calls/call-1/decision?wait=30s", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer admin")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(body), `"decision":"flagged"`) || !strings.Contains(string(body), `"queue":"payments"`) {
		t.Errorf("HTTP %d %s %v", resp.StatusCode, body, err)
	}
}

// listener is closed when it hears something.
type listener chan struct{}

func (l listener) LastPacket() time.Time { return time.Time{} }

func (l listener) Accept(context.Context, intake.Request) (whip.Receiver, error) { return l, nil }
func (l listener) Close(intake.Departure)                                        {}

func (l listener) Track(ctx context.Context, _ *webrtc.TrackRemote, _ *webrtc.RTPReceiver) error {
	close(l)
	<-ctx.Done()
	return nil
}

// A leg says that its connection is gone, so that its owner may join again.
func TestALegThatIsLost(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	engine, err := rtc.New(rtc.Config{TCPPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	l := listener(make(chan struct{}))
	in := whip.NewServer(whip.Config{Engine: engine, Intake: l})
	web := httptest.NewServer(in)
	defer func() {
		web.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	leg, err := sfu.Join(
		ctx,
		webrtc.NewAPI(webrtc.WithSettingEngine(settings)),
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000},
		web.URL+"/whip/call/caller",
		"",
	)
	if err != nil {
		t.Fatal(err)
	}
	for n, heard := uint16(0), false; !heard; n++ {
		if err := leg.WriteRTP(&rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: n, Timestamp: 160 * uint32(n)},
			Payload: make([]byte, 160),
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-l:
			heard = true
		case <-leg.Lost():
			t.Fatal("the leg is lost before it was")
		case <-ctx.Done():
			t.Fatal("nobody hears the leg")
		case <-time.After(20 * time.Millisecond):
		}
	}
	in.Close() // as when callscreen stops
	select {
	case <-leg.Lost():
	case <-ctx.Done():
		t.Error("nobody says that the connection is gone")
	}
	if err := leg.Close(); err != nil {
		t.Error(err)
	}
}

// callscreen runs the sidecar, with the stand-in for the analysis API.
func callscreen(t *testing.T, ctx context.Context) (addr string) {
	api := httptest.NewServer(simulator.New(simulator.Script{}))
	t.Cleanup(api.Close)
	client, err := analyzer.New("key", &analyzer.Options{BaseURL: api.URL, PollInitial: 5 * time.Millisecond, PollMax: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.WebRTC.UDPPort, cfg.WebRTC.TCPPort = 0, 0
	a, err := app.New(
		ctx,
		app.Options{
			Config: cfg,
			Tokens: map[string]config.Secret{"ingest": "secret", "admin": "admin"},
			API:    client,
			Log:    slog.New(slog.DiscardHandler),
		},
	)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a.Addr()
}
