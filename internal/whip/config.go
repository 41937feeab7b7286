package whip

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/rtc"
)

// Config says what the server does. Zero values mean the defaults, where there are any.
type Config struct {
	Engine *rtc.Engine
	Intake Intake
	// Auth returns the sender that a token stands for; ok is false if it may not send. nil accepts every request.
	Auth func(ctx context.Context, token string) (who intake.Sender, ok bool)
	// Origins are web origins that may use the server from a page; "*" is any. Default: none but the server's own.
	Origins []string
	// StrictPreconditions makes If-Match compulsory, as RFC 9725 has it. Many clients leave it out.
	StrictPreconditions bool
	MaxSessions         int           // in all; default 1000
	MaxPerToken         int           // default MaxSessions
	Handshake           time.Duration // until the media connection must stand; default 15 s
	Idle                time.Duration // without any packet, after which a session is lost; default 10 min
	// PerSecond is how many requests one address may make; default 50, and ten times as many at once. What is sent to an
	// open session does not count.
	PerSecond float64
	// Client is the address that a request comes from. Default: that of the connection.
	Client func(*http.Request) netip.Addr
	Log    *slog.Logger
}

func (cfg Config) withDefaults() Config {
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 1000
	}
	if cfg.MaxPerToken == 0 {
		cfg.MaxPerToken = cfg.MaxSessions
	}
	if cfg.Handshake == 0 {
		cfg.Handshake = 15 * time.Second
	}
	if cfg.Idle == 0 {
		cfg.Idle = 10 * time.Minute
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.PerSecond == 0 {
		cfg.PerSecond = 50
	}
	if cfg.Client == nil {
		cfg.Client = peer
	}
	return cfg
}
