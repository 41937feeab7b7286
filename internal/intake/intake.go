package intake

import (
	"context"
	"log/slog"
	"time"

	"callscreen/internal/screen"
)

// Config describes an Intake.
type Config struct {
	Calls *screen.Live
	// Room reports why nothing can be recorded, nil while there is room.
	Room func() error
	// Observe, if not nil, gets a step for each leg that has left.
	Observe func(screen.Step)
	Log     *slog.Logger
}

// Intake accepts legs. It is safe for concurrent use.
type Intake struct{ cfg Config }

// New returns an Intake.
func New(cfg Config) *Intake {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Observe == nil {
		cfg.Observe = func(screen.Step) {}
	}
	return &Intake{cfg: cfg}
}

// Accept joins a leg to its call. The leg must be closed. The error is a *Refusal.
func (i *Intake) Accept(_ context.Context, r Request) (*Leg, error) {
	if err := i.cfg.Room(); err != nil {
		i.cfg.Log.Error("leg refused", "call", r.Call, "leg", r.Leg, "error", err)
		return nil, &Refusal{RetryAfter: 30 * time.Second, Reason: err.Error()}
	}
	call, err := i.cfg.Calls.Join(r.Call, r.Metadata, r.Channels)
	if err != nil {
		return nil, &Refusal{RetryAfter: 10 * time.Second, Reason: err.Error()}
	}
	i.cfg.Log.Info("leg joined", "call", r.Call, "leg", r.Leg)
	return &Leg{cfg: i.cfg, call: call, request: r, joined: time.Now()}, nil
}
