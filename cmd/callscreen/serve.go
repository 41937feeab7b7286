package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"callscreen/internal/address"
	"callscreen/internal/app"
	"callscreen/internal/config"
	"callscreen/internal/terminal"
)

func newServe(e env) *cobra.Command {
	file, format := "", ""
	simulate, script, verbose := false, "", false
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Runs the sidecar, which screens live calls",
		Long: `Runs the sidecar. Legs of calls arrive by WHIP (RFC 9725) at /whip/CALL/LEG; legs with the same CALL belong to one call.

Without a configured token it only listens on loopback. The first SIGINT or SIGTERM refuses new calls, ends calls in
progress and waits for their decisions. The second terminates the process at once. SIGHUP reloads policy, tokens, roles and
webhooks without dropping a call.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "" && format != "text" && format != "json" {
				return usagef("--log-format: %q is not a log format (hint: text or json)", format)
			}
			flags := func(c *config.Config) {
				if format != "" {
					c.Log.Format = format
				}
				if verbose {
					c.Log.Level = "debug"
				}
			}
			cfg, tokens, err := loadServe(e, file, flags)
			if err != nil {
				return err
			}
			log, level := serveLog(e, cfg.Log)
			ofLibraries(log)
			meter := app.NewMeter()
			client, closeClient, err := newAnalyzer(cmd.Context(), e, cfg, simulate, script, meter.Request)
			if err != nil {
				return err
			}
			defer func() { _ = closeClient() }() // the process ends; the error has no consequence
			a, err := app.New(cmd.Context(), app.Options{
				Config:    cfg,
				Tokens:    tokens,
				API:       client,
				Simulated: simulate,
				Version:   version,
				Meter:     meter,
				Log:       log,
				Level:     level,
				Clock:     machineClock(),
			})
			if err != nil {
				return err
			}
			log.Info("serving", "http", a.URL(), "udp", a.MediaPort(), "data", cfg.DataDir, "node", a.Node())
			if at := a.HealthURL(); at != "" {
				log.Info("health listener started", "http", at)
			}
			if at := a.AdminURL(); at != "" {
				log.Info("admin listener started", "http", at)
			}
			if a.Open() {
				log.Warn(
					"authentication is off: every user of this machine can send and view calls",
					"hint",
					"set CALLSCREEN_INGEST_TOKEN and CALLSCREEN_REVIEW_TOKEN",
				)
			}
			if simulate {
				log.Warn("analysis is simulated: scores are not real detections")
			}
			defer onHangup(func() {
				if err := reload(cmd.Context(), e, file, flags, a); err != nil {
					log.Error(
						"reloading configuration failed, the previous one stays in use",
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
	f.StringVar(&file, "config", "", "configuration file (default: callscreen.yaml if it exists)")
	f.StringVar(&format, "log-format", "", "text or json (default: log.format)")
	f.BoolVar(&verbose, "verbose", false, "log at level debug")
	f.BoolVar(&simulate, "simulate", false, "use the built-in simulator of the API: no key, no network, no real detection")
	f.StringVar(&script, "script", "", "script of the simulator, a YAML file")
	return cmd
}

// onHangup calls do at each SIGHUP, until stop is called.
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

// reload reads the configuration and the tokens again and applies them.
func reload(ctx context.Context, e env, file string, flags func(*config.Config), a *app.App) error {
	cfg, tokens, err := loadServe(e, file, flags)
	if err != nil {
		return err
	}
	return a.Reload(ctx, cfg, tokens)
}

// serveLog returns a logger whose level can change at run time.
func serveLog(e env, cfg config.Log) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	level.Set(cfg.Slog())
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: withoutAddresses}
	out := terminal.Writer(e.stderr) // texts of callers are within JSON too
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(out, opts)), level
	}
	return slog.New(slog.NewTextHandler(out, opts)), level
}

// withoutAddresses redacts the web addresses in errors: the last defence behind the components, which redact their own.
func withoutAddresses(_ []string, a slog.Attr) slog.Attr {
	if err, ok := a.Value.Any().(error); ok {
		a.Value = slog.StringValue(address.Text(err.Error()))
	}
	return a
}
