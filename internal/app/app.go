// Package app builds what `callscreen serve` needs, runs it, and stops it in the reverse order.
package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/internal/audio"
	"callscreen/internal/auth"
	"callscreen/internal/cert"
	"callscreen/internal/config"
	"callscreen/internal/hook"
	"callscreen/internal/outbound"
	"callscreen/internal/report"
	"callscreen/internal/review"
	"callscreen/internal/rtc"
	"callscreen/internal/screen"
	"callscreen/internal/seal"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/trace"
	"callscreen/internal/whip"
)

// Options are what serve is told besides its configuration.
type Options struct {
	Config    config.Config
	Tokens    auth.Tokens
	API       screen.API
	Simulated bool
	Log       *slog.Logger
	// OnPromised and OnSettled, if not nil, are told what happens to segments.
	OnPromised func(store.Segment)
	OnSettled  func(call string, s report.SegmentReport)
	// Level, if not nil, is that of Log, and can be changed by the API.
	Level *slog.LevelVar
	// Version is what /metrics says is running.
	Version string
	// Meter is the one that the client of the API tells of its requests. Default: a new one.
	Meter *Meter
}

// App is a sidecar. New opens its ports and its database, Run serves until the context ends.
type App struct {
	opt       Options
	node      string
	auth      *auth.Auth
	listener  net.Listener
	admin     net.Listener // nil: at listener
	cert      *cert.Files  // nil: no TLS
	rtc       *rtc.Engine
	store     *store.Store
	audio     audio.Store
	keys      *seal.Keys // nil: audio is not sealed
	spool     *spool.Spool
	hooks     *hooks
	board     *review.Board
	desk      *screen.Decider
	courier   *screen.Forwarder
	worker    *screen.Worker
	engine    *screen.Maintenance
	live      *screen.Live
	review    *review.Server
	whip      *whip.Server
	metrics   *metrics
	trace     *trace.Tracer // nil if nobody wants to know
	draining  atomic.Bool
	pulls     pulls
	whepAllow outbound.List
	stack     []func() error // what must be closed, last first
}

// New builds everything. On an error nothing is left open.
func New(ctx context.Context, opt Options) (_ *App, err error) {
	if opt.Meter == nil {
		opt.Meter = NewMeter()
	}
	a := &App{opt: opt, board: review.NewBoard(), pulls: pulls{running: map[[2]string]*pull{}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if a.auth, err = auth.New(opt.Config, opt.Tokens); err != nil {
		return nil, err
	}
	for _, build := range []func(context.Context) error{a.openTrace, a.openPorts, a.openStores, a.buildAnalysis, a.buildCalls} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// closing puts something on the stack of what is closed in the end.
func (a *App) closing(close func() error) { a.stack = append(a.stack, close) }

func (a *App) openPorts(context.Context) (err error) {
	cfg := a.opt.Config
	if err := a.openListeners(); err != nil {
		return err
	}
	tcpPort := cfg.WebRTC.TCPPort
	if tcpPort == 0 {
		tcpPort = -1
	}
	if a.rtc, err = rtc.New(rtc.Config{
		UDPPort:   cfg.WebRTC.UDPPort,
		TCPPort:   tcpPort,
		PublicIPs: cfg.WebRTC.PublicIPs,
		Lite:      cfg.WebRTC.ICELite,
		ICE:       rtc.ICE{URLs: cfg.WebRTC.ICEServers, Username: cfg.WebRTC.TURNUsername, Secret: cfg.WebRTC.TURNSecret.Reveal()},
		PreferRED: cfg.WebRTC.PreferRED,
		Log:       a.opt.Log,
	}); err != nil {
		return err
	}
	a.closing(a.rtc.Close)
	return nil
}

func (a *App) openStores(ctx context.Context) (err error) {
	cfg := a.opt.Config
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if a.store, err = store.Open(ctx, store.Options{
		URL:      cfg.Database.Reveal(),
		Dir:      cfg.DataDir,
		Owner:    true,
		MaxConns: 20 + cfg.Analysis.MaxInFlight,
		Log:      a.opt.Log,
	}); err != nil {
		return err
	}
	a.closing(a.store.Close)
	a.auth.Keep(a.store, a.opt.Log)
	a.closing(func() error { a.auth.CloseIdleConnections(); return nil })
	if a.node, err = nodeName(cfg.DataDir); err != nil {
		return err
	}
	kept, err := audio.New(ctx, cfg.Audio, filepath.Join(cfg.DataDir, "audio"))
	if err != nil {
		return err
	}
	if c, ok := kept.(io.Closer); ok {
		a.closing(c.Close)
	}
	if cfg.AudioKey != "" {
		if a.keys, err = seal.Parse(cfg.AudioKey.Reveal()); err != nil {
			return fmt.Errorf("audio_key_file: %w", err)
		}
	}
	a.audio = audio.Sealed(kept, a.keys, filepath.Join(cfg.DataDir, "spool"))
	const mb = 1_000_000
	a.spool, err = spool.Open(
		filepath.Join(cfg.DataDir, "spool"),
		spool.Config{MinFree: cfg.Spool.MinFreeMB * mb, MaxBytes: cfg.Spool.MaxMB * mb, Log: a.opt.Log},
	)
	if err != nil {
		return err
	}
	a.closing(a.spool.Close)
	return nil
}

func (a *App) buildAnalysis(ctx context.Context) error {
	cfg := a.opt.Config
	endpoints, err := hook.Endpoints(cfg.Webhooks)
	if err != nil {
		return err
	}
	allow, err := outbound.Parse(cfg.WebhookAllow)
	if err != nil {
		return fmt.Errorf("webhook_allow: %w", err)
	}
	a.hooks = newHooks(a.dispatcher(endpoints, allow))
	rules, err := json.Marshal(cfg.Policy)
	if err != nil {
		return err
	}
	version, err := a.store.UsePolicy(ctx, rules, time.Now())
	if err != nil {
		return err
	}
	a.desk = screen.NewDecider(screen.DeciderConfig{
		Store:         a.store,
		Policy:        cfg.Policy,
		PolicyVersion: version,
		Subscribers:   func(event string) []string { return a.hooks.current().Subscribers(event) },
		OnCommit:      a.committed,
		OnSettled:     a.settled,
		Observe:       a.observe,
		KeepAudio: map[string]time.Duration{
			"clear":        cfg.Retention.Clear,
			"flagged":      cfg.Retention.Flagged,
			"inconclusive": cfg.Retention.Inconclusive,
		},
	})
	a.courier = screen.NewForwarder(screen.ForwarderConfig{
		Spool:      a.spool,
		Audio:      a.audio,
		Keys:       a.keys,
		Decider:    a.desk,
		Node:       a.audioNode(),
		Rate:       cfg.Segment.SampleRate,
		MaxAge:     cfg.Spool.MaxAge,
		OnPromised: a.opt.OnPromised,
		Observe:    a.observe,
		Log:        a.opt.Log,
	})
	interval := time.Duration(float64(time.Second) / cfg.Analysis.RatePerSecond)
	if a.opt.Simulated {
		interval = 0 // there is nobody whose rate limit must be spared
	}
	a.worker = screen.NewWorker(screen.WorkerConfig{
		API:           a.opt.API,
		Store:         a.store,
		Decider:       a.desk,
		Audio:         a.audio,
		Node:          a.node,
		Interval:      interval,
		Deadline:      cfg.Analysis.Deadline,
		MaxAge:        cfg.Analysis.MaxAge,
		Plan:          screen.Plan{Enough: cfg.Analysis.EnoughSpeech, Recheck: cfg.Analysis.Recheck},
		ResendInDoubt: cfg.Analysis.ResendInDoubt,
		RetryCleaned:  cfg.Analysis.RetryCleaned,
		Observe:       a.observe,
		Log:           a.opt.Log,
	})
	a.engine, err = screen.NewMaintenance(screen.MaintenanceConfig{
		Worker:      a.worker,
		Store:       a.store,
		Decider:     a.desk,
		Audio:       a.audio,
		Node:        a.node,
		MaxInFlight: cfg.Analysis.MaxInFlight,
		MaxAge:      cfg.Analysis.MaxAge,
		KeepRecords: cfg.Retention.Records,
		LocalAudio:  a.audioNode() != "",
		OwnParts:    a.ownParts,
		Log:         a.opt.Log,
	})
	return err
}

// audioNode is this node if no other can get at its audio.
func (a *App) audioNode() string {
	if a.opt.Config.Audio == "" {
		return a.node
	}
	return ""
}

func (a *App) buildCalls(context.Context) (err error) {
	cfg := a.opt.Config
	if a.whepAllow, err = outbound.Parse(cfg.WebRTC.WHEPAllow); err != nil {
		return fmt.Errorf("webrtc.whep_allow: %w", err)
	}
	a.live = screen.NewLive(screen.LiveConfig{
		Book:      counting{a.courier, a.opt.Meter},
		Node:      a.node,
		Segment:   cfg.Segment.Segmenter(),
		Simulated: a.opt.Simulated,
		Grace:     cfg.WebRTC.Grace,
		NewVAD:    func(hz int) (capture.VAD, error) { return vad.New(hz, nil) },
		Log:       a.opt.Log,
	})
	if a.review, err = review.NewServer(review.Config{
		Node:    a.node,
		Decider: a.desk,
		Store:   a.store,
		Audio:   a.audio,
		Board:   a.board,
		Begun:   a.begun,
		Erase:   a.engine.Erase,
		Require: a.auth.Require,
		Log:     a.opt.Log,
	}); err != nil {
		return err
	}
	a.whip = whip.NewServer(whip.Config{
		Engine:              a.rtc,
		Intake:              intake{a},
		Auth:                a.sender(),
		Origins:             cfg.WebRTC.Origins,
		StrictPreconditions: cfg.WebRTC.StrictPreconditions,
		MaxSessions:         cfg.WebRTC.MaxSessions,
		MaxPerToken:         cfg.WebRTC.MaxSessionsPerToken,
		Idle:                cfg.WebRTC.Idle,
		PerSecond:           cfg.WebRTC.RequestsPerSecond,
		Client:              a.auth.Client,
		Log:                 a.opt.Log,
	})
	a.metrics = newMetrics(a)
	return nil
}

// Addr is where the HTTP server listens.
func (a *App) Addr() string { return a.listener.Addr().String() }

// Open tells whether everybody on this machine may do everything, because nothing says who is who.
func (a *App) Open() bool { return a.auth.Off() }

// MediaPort is the UDP port for media.
func (a *App) MediaPort() int { return a.rtc.Port() }

// Node is the name of this node among those that share a database.
func (a *App) Node() string { return a.node }

// Totals are sums over all legs since the start.
func (a *App) Totals() screen.Totals { return a.live.Totals() }

// Wait returns what is known of a call once done says so of it, or when the context ends.
func (a *App) Wait(ctx context.Context, call string, done func(report.CallReport) bool) (report.CallReport, error) {
	return a.review.Wait(ctx, call, done)
}

// Ended waits until a call has ended and its decision will not change any more.
func (a *App) Ended(ctx context.Context, call string) (report.CallReport, error) {
	return a.Wait(ctx, call, func(r report.CallReport) bool { return r.Final && r.State == store.CallEnded })
}

// ownParts are the parts that this node still answers for.
func (a *App) ownParts() map[store.PartKey]bool {
	own := map[store.PartKey]bool{}
	a.live.Parts(own)
	a.courier.Parts(own)
	return own
}

// begun is what is known of a call that is recorded here.
func (a *App) begun(call string) (report.CallReport, bool) {
	c := a.live.Call(call)
	if c == nil {
		return report.CallReport{}, false
	}
	r, err := a.desk.Begun(c.Begun())
	return r, err == nil
}

func (a *App) committed(call string) {
	a.board.Changed(call)
	a.hooks.current().News()
}

func (a *App) settled(call string, s report.SegmentReport) {
	a.opt.Meter.settle(s)
	if a.opt.OnSettled != nil {
		a.opt.OnSettled(call, s)
	}
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
