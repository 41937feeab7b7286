package whip

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/limit"
	"callscreen/internal/rtc"
)

// Config describes a Server. Zero values mean the defaults, where there are any.
type Config struct {
	Engine *rtc.Engine
	Intake Intake
	// Auth returns the sender that a token stands for; ok is false if it may not send. nil accepts every request.
	Auth func(ctx context.Context, token string) (who intake.Sender, ok bool)
	// Origins are web origins whose pages may use the server; "*" is any. Default: only the server's own.
	Origins []string
	// StrictPreconditions requires If-Match, as RFC 9725 does. Many clients omit it.
	StrictPreconditions bool
	MaxSessions         int           // in all; default 1000
	MaxPerToken         int           // default: four fifths of MaxSessions
	Handshake           time.Duration // limit for the media connection; default 15 s
	Idle                time.Duration // time without a packet after which a session is lost; default 10 min
	// PerSecond is the request rate of one address, with a burst of ten times as many. Default 50. Requests to an open
	// session do not count.
	PerSecond float64
	// Client returns the address of a request. Default: that of the connection.
	Client func(*http.Request) netip.Addr
	// Limited counts clients that have as many sessions as they may.
	Limited *limit.Refusals
	Log     *slog.Logger
}

func (cfg Config) withDefaults() Config {
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 1000
	}
	if cfg.MaxPerToken == 0 {
		cfg.MaxPerToken = max(cfg.MaxSessions*4/5, 1)
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
