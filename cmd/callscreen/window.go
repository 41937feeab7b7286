package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"callscreen/internal/config"
	"callscreen/internal/store"
)

// pastFlags select past calls by time.
type pastFlags struct{ config, from, to string }

func (f *pastFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration file (default: callscreen.yaml if it exists)")
	flags.StringVar(
		&f.from,
		"from",
		"",
		"calls that started on or after this day or time: 2026-01-31 or 2026-01-31T08:00:00+01:00 (default zone: UTC)",
	)
	flags.StringVar(&f.to, "to", "", "calls that started on or before this day, or before this time")
}

// window parses the flags. A day in --to is included completely.
func (f *pastFlags) window() (w store.Window, err error) {
	if w.From, _, err = instant("--from", f.from); err != nil {
		return w, err
	}
	var day bool
	if w.To, day, err = instant("--to", f.to); err != nil {
		return w, err
	}
	if day {
		w.To = w.To.AddDate(0, 0, 1)
	}
	if !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		return w, usagef("--to: %s is not after --from %s (hint: swap them)", f.to, f.from)
	}
	return w, nil
}

// instant parses a time, and reports whether it is a whole day.
func instant(flag, text string) (at time.Time, day bool, err error) {
	if text == "" {
		return at, false, nil
	}
	if at, err = time.Parse(time.DateOnly, text); err == nil {
		return at, true, nil
	}
	if at, err = time.Parse(time.RFC3339, text); err != nil {
		return at, false, usagef("%s: %q is not a time (hint: write 2026-01-31 or 2026-01-31T08:00:00Z)", flag, text)
	}
	return at, false, nil
}

// look runs a read-only function on the database. The sidecar may be running.
func (f *pastFlags) look(ctx context.Context, e env, do func(cfg config.Config, s *store.Store) error) (err error) {
	cfg, err := loadConfig(e, f.config)
	if err != nil {
		return err
	}
	s, err := store.Open(ctx, store.Options{URL: cfg.Database.Reveal(), Dir: cfg.DataDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return do(cfg, s)
}
