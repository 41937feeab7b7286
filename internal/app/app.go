// Package app builds what `callscreen serve` needs, runs it, and stops it in the reverse order.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/internal/config"
	"callscreen/internal/rtc"
	"callscreen/internal/screen"
	"callscreen/internal/whip"
)

// Options are what serve is told besides its configuration.
type Options struct {
	Config    config.Config
	Tokens    Tokens
	Analyzer  screen.Analyzer
	Simulated bool
	Log       *slog.Logger
	// OnChange and OnSettled, if not nil, are told what happens to the calls.
	OnChange  func(screen.LiveReport)
	OnSettled func(call string, s screen.SegmentReport)
}

// App is a sidecar. New opens its ports, Run serves until the context ends.
type App struct {
	opt      Options
	listener net.Listener
	engine   *rtc.Engine
	screener *screen.Screener
	live     *screen.Live
	whip     *whip.Server
	metrics  *metrics
	auth     *auth
	draining atomic.Bool
	pulls    pulls
	stack    []func() error // what must be closed, last first
}

// drainFor is how long calls get to be analysed after the program was told to stop.
const drainFor = 30 * time.Second

// New builds everything. On an error nothing is left open.
func New(opt Options) (_ *App, err error) {
	a := &App{opt: opt, pulls: pulls{running: map[[2]string]*pull{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	cfg := opt.Config
	if a.auth, err = newAuth(cfg, opt.Tokens); err != nil {
		return nil, err
	}
	for key, set := range map[string]bool{"database": cfg.Database != "", "audio": cfg.Audio != ""} {
		if set {
			return nil, fmt.Errorf("%s is set, and this version keeps calls in memory only (hint: leave it empty)", key)
		}
	}
	if a.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("%w (hint: set listen)", err)
	}
	a.stack = append(a.stack, a.listener.Close)
	tcpPort := cfg.WebRTC.TCPPort
	if tcpPort == 0 {
		tcpPort = -1
	}
	if a.engine, err = rtc.New(rtc.Config{
		UDPPort: cfg.WebRTC.UDPPort, TCPPort: tcpPort, PublicIPs: cfg.WebRTC.PublicIPs, Lite: cfg.WebRTC.ICELite,
		ICEServers: iceServers(cfg.WebRTC.ICEServers), PreferRED: cfg.WebRTC.PreferRED, Log: opt.Log,
	}); err != nil {
		return nil, err
	}
	a.stack = append(a.stack, a.engine.Close)
	dir := filepath.Join(cfg.DataDir, "segments")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	var limit *rate.Limiter
	if !opt.Simulated {
		limit = rate.NewLimiter(rate.Limit(cfg.Analysis.RatePerSecond), 1)
	}
	if a.screener, err = screen.NewScreener(screen.ScreenerConfig{
		Analyzer: opt.Analyzer, Dir: dir, Rate: cfg.Segment.SampleRate, MaxInFlight: cfg.Analysis.MaxInFlight, Limit: limit,
		RetryCleaned: cfg.Analysis.RetryCleaned, Log: opt.Log, OnSettled: a.settled,
	}); err != nil {
		return nil, err
	}
	a.stack = append(a.stack, a.screener.Close)
	a.live = screen.NewLive(screen.LiveConfig{
		Intake: a.screener, Policy: cfg.Policy, Segment: cfg.Segment.Segmenter(), Simulated: opt.Simulated, Grace: cfg.WebRTC.Grace,
		NewVAD: func(hz int) (capture.VAD, error) { return vad.New(hz, nil) }, OnChange: opt.OnChange, Log: opt.Log,
	})
	a.whip = whip.NewServer(whip.Config{
		Engine: a.engine, Intake: intake{a}, Auth: a.auth.ingest(), Origins: cfg.WebRTC.Origins, StrictPreconditions: cfg.WebRTC.StrictPreconditions,
		MaxSessions: cfg.WebRTC.MaxSessions, MaxPerToken: cfg.WebRTC.MaxSessionsPerToken, Idle: cfg.WebRTC.Idle, Log: opt.Log,
	})
	a.metrics = newMetrics(a)
	return a, nil
}

func iceServers(urls []string) (servers []webrtc.ICEServer) {
	for _, u := range urls {
		servers = append(servers, webrtc.ICEServer{URLs: []string{u}})
	}
	return servers
}

// Addr is where the HTTP server listens.
func (a *App) Addr() string { return a.listener.Addr().String() }

// MediaPort is the UDP port for media.
func (a *App) MediaPort() int { return a.engine.Port() }

// Live is the calls.
func (a *App) Live() *screen.Live { return a.live }

func (a *App) settled(call *screen.Call, s screen.SegmentReport) {
	a.metrics.settled(s)
	a.live.Touched(call)
	if a.opt.OnSettled != nil {
		a.opt.OnSettled(call.ID(), s)
	}
}

// Run serves until the context ends. Then it takes no new calls, ends those in progress, and lets what was recorded be
// analysed for a while.
func (a *App) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.close()) }()
	// What was recorded is analysed also after the context has ended.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	screened := make(chan struct{})
	go func() {
		defer close(screened)
		_ = a.screener.Run(work) // what it could not analyse shows in the calls
	}()
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	served := make(chan error, 1)
	go func() { served <- server.Serve(a.listener) }()
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	a.opt.Log.Info("shutting down: no new calls, those in progress are ended and decided", "grace", drainFor)
	a.draining.Store(true)
	a.whip.Drain()
	a.whip.Close()
	a.pulls.close()
	a.live.EndAll()
	settle, cancel := context.WithTimeout(work, drainFor)
	a.live.Settle(settle)
	cancel()
	shut, cancel := context.WithTimeout(work, 3*time.Second)
	if e := server.Shutdown(shut); e != nil {
		err = errors.Join(err, server.Close())
	}
	cancel()
	if err == nil {
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = e
		}
	}
	a.live.Close()
	a.screener.Done()
	stop()
	<-screened
	return err
}

// close closes what New opened, last first.
func (a *App) close() error {
	var errs []error
	for i := len(a.stack) - 1; i >= 0; i-- {
		if err := a.stack[i](); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	a.stack = nil
	return errors.Join(errs...)
}
