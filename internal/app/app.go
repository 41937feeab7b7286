// Package app builds what `callscreen serve` needs, runs it, and stops it in reverse order.
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/internal/audio"
	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/intake"
	"callscreen/internal/limit"
	"callscreen/internal/outbound"
	"callscreen/internal/report"
	"callscreen/internal/review"
	"callscreen/internal/rtc"
	"callscreen/internal/screen"
	"callscreen/internal/seal"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/trace"
	"callscreen/internal/whep"
	"callscreen/internal/whip"
)

// Options holds what an App needs besides its configuration.
type Options struct {
	Config    config.Config
	Tokens    auth.Tokens
	API       screen.API
	Simulated bool
	Log       *slog.Logger
	// OnPromised, if not nil, gets each segment that is safe on the disk.
	OnPromised func(store.SegmentRow)
	// OnSettled, if not nil, gets each segment that has a score or has failed.
	OnSettled func(call string, s report.SegmentReport)
	// Level, if not nil, is the level of Log, which the API can change.
	Level *slog.LevelVar
	// Version is the version that /metrics names.
	Version string
	// Clock, if not nil, replaces the clock of the machine for everything durable, for tests.
	Clock func() time.Time
	// Meter is the one that also counts the requests of API. Default: a new one.
	Meter *Meter
}

// App is a sidecar. New opens its ports and its database, Run serves until the context ends.
type App struct {
	opt         Options
	node        string
	auth        *auth.Auth
	listeners   *listeners
	rtc         *rtc.Engine
	store       *store.Store
	audio       audio.Store
	shared      *audio.Marked // nil: only this node has its audio
	keys        *seal.Keys    // nil: audio is not sealed
	spool       *spool.Spool
	hooks       *hooks
	board       *review.Board
	decider     *screen.Decider
	forwarder   *screen.Forwarder
	worker      *screen.Worker
	maintenance *screen.Maintenance
	lease       *screen.Lease // nil: the database has no other node
	live        *screen.Live
	intake      *intake.Intake
	review      *review.Server
	whip        *whip.Server
	puller      *whep.Puller
	legs        legControl
	metrics     *metrics
	scrape      scrape
	checks      *latest[health]
	trace       *trace.Tracer   // nil: no traces
	limited     *limit.Refusals // clients
	draining    atomic.Bool
	cleanups    []cleanup // close runs them, the last first
}

// New builds everything. On an error nothing stays open.
func New(ctx context.Context, opt Options) (_ *App, err error) {
	if opt.Meter == nil {
		opt.Meter = NewMeter()
	}
	a := &App{opt: opt, board: review.NewBoard()}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()
	if a.auth, err = auth.New(opt.Config, opt.Tokens); err != nil {
		return nil, err
	}
	a.limited = limit.NewRefusals(opt.Log)
	a.auth.Report(a.limited)
	for _, build := range []func(context.Context) error{a.openTrace, a.openPorts, a.openStores, a.buildAnalysis, a.buildCalls} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *App) openPorts(context.Context) (err error) {
	cfg := a.opt.Config
	most := min(maxConnections, limit.Descriptors()/4)
	limits := limit.Connections{
		Most:     int64(most),
		Each:     most / 4,
		Exempt:   a.auth.Trusted,
		Refusals: a.limited,
	}
	if a.listeners, err = openListeners(cfg, limits, a.opt.Log); err != nil {
		return err
	}
	a.onClose("listeners", a.listeners.Close)
	tcpPort := cfg.WebRTC.TCPPort
	if tcpPort == 0 {
		tcpPort = -1
	}
	if a.rtc, err = rtc.New(rtc.Config{
		Limited: func(l net.Listener) net.Listener {
			most := min(max(2*cfg.WebRTC.MaxSessions, 256), limit.Descriptors()/4) // one for each session, and one that takes over
			return limit.Listener(l, limit.Connections{Most: int64(most), Each: most / 4, Exempt: a.auth.Trusted, Refusals: a.limited})
		},
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
	a.onClose("media ports", a.rtc.Close)
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
		MaxConns: cmp.Or(cfg.DatabaseConnections, store.DefaultConns+cfg.Analysis.MaxInFlight),
		Clock:    a.opt.Clock,
		Log:      a.opt.Log,
	}); err != nil {
		return err
	}
	a.onClose("store", a.store.Close)
	a.auth.Keep(a.store, a.opt.Log)
	a.onClose("connections of the sign-on", func() error { a.auth.CloseIdleConnections(); return nil })
	if a.node, err = nodeName(cfg.DataDir); err != nil {
		return err
	}
	if err = a.join(ctx); err != nil {
		return err
	}
	kept, err := audio.New(ctx, cfg.Audio, filepath.Join(cfg.DataDir, "audio"))
	if err != nil {
		return err
	}
	if c, ok := kept.(io.Closer); ok {
		a.onClose("audio store", c.Close)
	}
	if cfg.AudioKey != "" {
		if a.keys, err = seal.Parse(cfg.AudioKey.Reveal()); err != nil {
			return fmt.Errorf("audio_key_file: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Join(cfg.DataDir, "spool"), 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	if cfg.Audio != "" {
		kept = a.marked(ctx, kept)
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
	a.onClose("spool", a.spool.Close)
	probing := start(context.WithoutCancel(ctx), func(ctx context.Context) error { a.spool.Watch(ctx); return nil })
	a.onClose("probe of the spool", probing.stop)
	return nil
}

func (a *App) buildCalls(context.Context) (err error) {
	cfg := a.opt.Config
	a.live = screen.NewLive(screen.LiveConfig{
		Book:      counting{a.forwarder, a.opt.Meter},
		Node:      a.node,
		Segment:   cfg.Segment.Segmenter(),
		Simulated: a.opt.Simulated,
		Grace:     cfg.WebRTC.Grace,
		Now:       a.store.Now,
		NewVAD:    func(hz int) (capture.VAD, error) { return vad.New(hz, nil) },
		Log:       a.opt.Log,
	})
	a.intake = intake.New(intake.Config{Calls: a.live, Room: a.spool.Room, Observe: a.observe, Log: a.opt.Log})
	if err := a.buildDoors(); err != nil {
		return err
	}
	if a.review, err = review.NewServer(review.Config{
		Node:    a.node,
		Decider: a.decider,
		Store:   a.store,
		Audio:   a.audio,
		Board:   a.board,
		Begun:   a.begun,
		Erase:   a.maintenance.Erase,
		Require: a.auth.Require,
		Client:  a.auth.Client,
		Limited: a.limited,
		Now:     a.store.Now,
		Log:     a.opt.Log,
	}); err != nil {
		return err
	}
	a.checks = newLatest(func() health { return a.health(context.Background()) })
	a.onClose("checks", a.checks.end)
	a.metrics = newMetrics(cmp.Or(a.opt.Version, "unknown"), a.opt.Meter, sources{
		live:      a.live,
		whip:      a.whip,
		worker:    a.worker,
		review:    a.review,
		media:     a.rtc,
		spool:     a.spool,
		forwarder: a.forwarder,
		hooks:     a.hooks,
		store:     a.store,
		draining:  a.draining.Load,
		auditHead: a.maintenance.AuditHead,
		stuck:     a.maintenance.Stuck,
		limited:   a.limited,
		policies:  func() int { return len(a.decider.PoliciesInForce(a.node)) },
		webhooks:  cfg.Webhooks,
	})
	a.scrape = newScrape(a.metrics.registry)
	a.onClose("metrics", a.scrape.values.end)
	return nil
}

// buildDoors builds the ways in. Each gets the intake and nothing else of the program.
func (a *App) buildDoors() error {
	cfg := a.opt.Config
	allow, err := outbound.Parse(cfg.WebRTC.WHEPAllow)
	if err != nil {
		return fmt.Errorf("webrtc.whep_allow: %w", err)
	}
	a.whip = whip.NewServer(whip.Config{
		Engine:              a.rtc,
		Intake:              whipIntake{a.intake},
		Auth:                a.sender(),
		Origins:             cfg.WebRTC.Origins,
		StrictPreconditions: cfg.WebRTC.StrictPreconditions,
		MaxSessions:         cfg.WebRTC.MaxSessions,
		MaxPerToken:         cfg.WebRTC.MaxSessionsPerToken,
		Idle:                cfg.WebRTC.Idle,
		PerSecond:           cfg.WebRTC.RequestsPerSecond,
		Client:              a.auth.Client,
		Limited:             a.limited,
		Log:                 a.opt.Log,
	})
	a.puller = whep.NewPuller(whep.PullerConfig{
		Accept: func(ctx context.Context, r intake.Request) (whep.PullReceiver, error) {
			leg, err := a.intake.Accept(ctx, r)
			if err != nil {
				return nil, err
			}
			return leg, nil
		},
		Sender: func(r *http.Request) intake.Sender {
			if s, ok := auth.SenderFrom(r.Context()); ok {
				return intake.Sender(s)
			}
			return intake.Sender{Name: auth.Actor(r.Context())}
		},
		Permitted:   func(w http.ResponseWriter, r *http.Request) bool { return a.legs.permitted(w, r) },
		Max:         cfg.WebRTC.MaxSessions,
		MaxPerToken: cfg.WebRTC.MaxSessionsPerToken,
		Allow:       allow,
		Log:         a.opt.Log,
	})
	a.legs = legControl{
		calls:    a.live,
		holder:   a.intake.Controller,
		end:      a.whip.End,
		stopPull: a.puller.Stop,
		audit:    a.store.AddAudit,
		log:      a.opt.Log,
	}
	return nil
}

// whipIntake adapts the intake to the interfaces of package whip.
type whipIntake struct{ *intake.Intake }

// Accept implements whip.Intake.
func (i whipIntake) Accept(ctx context.Context, r intake.Request) (whip.Receiver, error) {
	leg, err := i.Intake.Accept(ctx, r)
	if err != nil {
		return nil, err
	}
	return leg, nil
}

// sender returns the check of tokens for WHIP, nil where authentication is off.
func (a *App) sender() func(context.Context, string) (intake.Sender, bool) {
	ingest := a.auth.Ingest()
	if ingest == nil {
		return nil
	}
	return func(ctx context.Context, token string) (intake.Sender, bool) {
		who, ok := ingest(ctx, token)
		return intake.Sender(who), ok
	}
}

// Addr returns the address of the HTTP server.
func (a *App) Addr() string { return a.listeners.public.Addr().String() }

// URL returns the base URL of the HTTP server.
func (a *App) URL() string { return a.listeners.url(a.listeners.public) }

// AdminURL returns the base URL of the admin listener, "" if there is none.
func (a *App) AdminURL() string {
	if a.listeners.admin == nil {
		return ""
	}
	return a.listeners.url(a.listeners.admin)
}

// HealthURL returns the base URL of the health listener, "" if there is none.
func (a *App) HealthURL() string {
	if a.listeners.health == nil {
		return ""
	}
	return a.listeners.url(a.listeners.health)
}

// Open reports whether authentication is off: everyone on this machine may do everything.
func (a *App) Open() bool { return a.auth.Off() }

// MediaPort returns the UDP port for media.
func (a *App) MediaPort() int { return a.rtc.Port() }

// Node returns the name of this node among those that share a database.
func (a *App) Node() string { return a.node }

// Totals returns sums over all legs since the start.
func (a *App) Totals() screen.Totals { return a.live.Totals() }

// Wait returns the report of a call once done accepts it, or when the context ends.
func (a *App) Wait(ctx context.Context, call string, done func(report.CallReport) bool) (report.CallReport, error) {
	return a.review.Wait(ctx, call, done)
}

// Ended waits until a call has ended and its decision stands.
func (a *App) Ended(ctx context.Context, call string) (report.CallReport, error) {
	return a.Wait(ctx, call, func(r report.CallReport) bool { return r.Final && r.State == store.CallEnded })
}

// ownParts returns the parts that this node still answers for.
func (a *App) ownParts() map[store.PartKey]bool {
	own := map[store.PartKey]bool{}
	a.live.Parts(own)
	a.forwarder.Parts(own) // after the calls in progress, which it takes over when they end
	return own
}

// room returns the space on the disk of data_dir beyond what is kept free.
func (a *App) room() (int64, error) {
	const mb = 1_000_000
	free, err := spool.Free(a.opt.Config.DataDir)
	return free - a.opt.Config.Spool.MinFreeMB*mb, err
}

// begun returns the report of a call that this node records, also before the database has it.
func (a *App) begun(call string) (report.CallReport, bool) {
	c := a.live.Call(call)
	if c == nil {
		return report.CallReport{}, false
	}
	r, err := a.decider.Begun(c.Begun())
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
