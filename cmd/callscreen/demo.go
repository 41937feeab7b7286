package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"callscreen/internal/app"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/report"
	"callscreen/internal/terminal"
)

func newDemo(e env) *cobra.Command {
	keep, listen := false, ""
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Runs the whole product in one process: two live calls, no key, no set-up",
		Long: `Starts a simulator of the analysis API and the sidecar, and plays two calls over real WebRTC on this machine: one with a human
voice, one with a synthetic voice. The simulator detects nothing: it recognizes the synthetic fixture by a marker tone.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), e, listen, keep) },
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the sidecar running after the calls")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address of the HTTP server; port 0 means any free port")
	return cmd
}

// demoCalls are the calls of the demo and their expected decisions.
var demoCalls = []struct {
	id, want string
	audio    []byte
}{
	{"human-voice", "clear", demo.Human},
	{"synthetic-voice", "flagged", demo.Synthetic},
}

func runDemo(ctx context.Context, e env, listen string, keep bool) (err error) {
	dir, err := os.MkdirTemp("", "callscreen-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = listen, dir
	cfg.WebRTC.UDPPort, cfg.WebRTC.TCPPort = 0, 0
	meter := app.NewMeter()
	client, closeClient, err := newAnalyzer(ctx, e, cfg, true, "", meter.Request)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeClient()) }()

	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Fprintln(e.stdout, terminal.Line(fmt.Sprintf(format, args...)))
	}
	start := time.Now()
	a, err := app.New(ctx, app.Options{
		Config:    cfg,
		API:       client,
		Simulated: true,
		Version:   version,
		Meter:     meter,
		Log:       slog.New(lineHandler{w: e.stderr}),
		OnSettled: func(call string, s report.SegmentReport) {
			verdict := "failed: " + s.Reason
			if s.Score != nil {
				verdict = fmt.Sprintf("score %.2f", *s.Score)
			}
			say("%5.1f s  %-16s %s at %s, %s of speech: %s", time.Since(start).Seconds(), call, s.Leg, clock(s.Offset), seconds(s.Speech), verdict)
		},
	})
	if err != nil {
		return err
	}
	// A signal must end the calls before the sidecar, so the sidecar has a context of its own.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	served := make(chan error, 1)
	go func() { served <- a.Run(serving) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()
	say("sidecar on http://%s, simulated analysis: the stand-in detects nothing", a.Addr())
	reports, err := playDemo(ctx, a, say)
	if err != nil {
		return err
	}
	for i, r := range reports {
		say("%s: %s", r.Call, strings.ToUpper(r.Decision))
		if r.Decision != demoCalls[i].want {
			err = errors.Join(err, fmt.Errorf("%s is %s, want %s: %v", r.Call, r.Decision, demoCalls[i].want, r.Reasons))
		}
	}
	if keep && err == nil {
		say("the sidecar runs until Ctrl-C: http://%s", a.Addr())
		<-ctx.Done()
	}
	return err
}

// playDemo plays all calls concurrently and returns their reports.
func playDemo(ctx context.Context, a *app.App, say func(string, ...any)) ([]report.CallReport, error) {
	reports, errs := make([]report.CallReport, len(demoCalls)), make([]error, len(demoCalls))
	var all sync.WaitGroup
	for i, c := range demoCalls {
		all.Go(func() {
			media, err := publish.Opus(bytes.NewReader(c.audio))
			if err != nil {
				errs[i] = err
				return
			}
			say("         %-16s calls, %.0f s of Opus over WebRTC", c.id, media.Seconds())
			sum, err := publish.Run(ctx, media, &publish.Options{To: "http://" + a.Addr() + "/whip/" + c.id + "/caller"})
			if errs[i] = errors.Join(err, sum.Err()); errs[i] != nil {
				return
			}
			wait, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			reports[i], errs[i] = a.Ended(wait, c.id)
		})
	}
	all.Wait()
	return reports, errors.Join(errs...)
}
