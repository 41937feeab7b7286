package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"callscreen/internal/app"
	"callscreen/internal/auth"
	"callscreen/internal/config"
)

func newServe(e env) *cobra.Command {
	file, format := "", ""
	simulate, script, verbose := false, "", false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Runs the sidecar: takes live calls in over WHIP and screens them",
		Long: `Runs the sidecar. Legs of calls come in over WHIP (RFC 9725) at /whip/CALL/LEG; legs with the same CALL are one call.

Without any token configured it serves the machine itself only. On the first signal to stop it takes no new calls, ends
those in progress and lets them be decided; on the second it stops at once. On SIGHUP it reads policy, auth.tokens and
webhooks again, without dropping a call.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(e, file)
			if err != nil {
				return err
			}
			tokens, err := auth.ReadTokens(e.environ)
			if err != nil {
				return err
			}
			if format != "" {
				cfg.Log.Format = format
			}
			if verbose {
				cfg.Log.Level = "debug"
			}
			if cfg.Validate() != nil { // it was valid before
				return usagef("--log-format: %q is no format (hint: text or json)", format)
			}
			log, level := serveLog(e, cfg.Log)
			meter := app.NewMeter()
			client, closeClient, err := newAnalyzer(cmd.Context(), e, cfg, simulate, script, meter.Request)
			if err != nil {
				return err
			}
			defer func() { _ = closeClient() }() // nothing can be done about it any more
			a, err := app.New(cmd.Context(), app.Options{
				Config:    cfg,
				Tokens:    tokens,
				API:       client,
				Simulated: simulate,
				Version:   version,
				Meter:     meter,
				Log:       log,
				Level:     level,
			})
			if err != nil {
				return err
			}
			log.Info("serving", "http", a.URL(), "udp", a.MediaPort(), "data", cfg.DataDir, "node", a.Node())
			if at := a.AdminURL(); at != "" {
				log.Info("metrics and what is for admins are apart", "http", at)
			}
			if a.Open() {
				log.Warn(
					"authentication is off: everybody on this machine may send and see calls",
					"hint",
					"set CALLSCREEN_INGEST_TOKEN and CALLSCREEN_REVIEW_TOKEN",
				)
			}
			if simulate {
				log.Warn("the analysis is simulated: the stand-in detects nothing, its scores mean nothing")
			}
			defer onHangup(func() {
				if err := reload(cmd.Context(), e, file, a); err != nil {
					log.Error(
						"the configuration could not be read again; the old one stays in force",
						"error",
						strings.ReplaceAll(err.Error(), "\n", "; "),
						"hint",
						"callscreen config check",
					)
				}
			})()
			return a.Run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "config", "", "configuration file (default callscreen.yaml, if it is there)")
	f.StringVar(&format, "log-format", "", "text or json (default: log.format)")
	f.BoolVar(&verbose, "verbose", false, "log more, as log.level debug")
	f.BoolVar(&simulate, "simulate", false, "use the built-in stand-in for the API: no key, no network; it detects nothing")
	f.StringVar(&script, "script", "", "script of the stand-in, a YAML file")
	return cmd
}

// onHangup carries something out at each SIGHUP, until stop is called.
func onHangup(do func()) (stop func()) {
	signals, done, over := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		defer close(over)
		for {
			select {
			case <-signals:
				do()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-over
	}
}

// reload reads everything again that serve has read at its start.
func reload(ctx context.Context, e env, file string, a *app.App) error {
	cfg, err := loadConfig(e, file)
	if err != nil {
		return err
	}
	tokens, err := auth.ReadTokens(e.environ)
	if err != nil {
		return err
	}
	return a.Reload(ctx, cfg, tokens)
}

// serveLog makes a logger whose level can be changed.
func serveLog(e env, cfg config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(cfg.Slog())
	opts := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(e.stderr, opts)), level
	}
	return slog.New(slog.NewTextHandler(e.stderr, opts)), level
}
