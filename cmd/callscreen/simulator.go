package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
)

func newSimulator(e env) *cobra.Command {
	listen, script := "", ""
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Runs a simulator of the analysis API, without real detection",
		Long: `Runs a simulator of the analysis API, for development and tests without a key. It detects nothing: its scores come from a
script and have no relation to the voice. Without a script, audio with the marker tone of the synthetic fixtures (3,000 Hz)
gets a high score and all other audio a low one.

A script is a YAML file:

  latency: 300ms            # processing time of a job
  token: secret             # the accepted key; any key if left out
  fail_rate: 0.1            # share of requests that fail at random
  rules:                    # the first matching rule applies
    - match: {marker: true}
      result: {score: 0.97}
    - match: {every: 3}     # also from, to, sha256, shorter, longer
      submit: {status: 429, retry_after: "2", times: 1}
    - match: {from: 10}
      result: {failed: true, error_code: RuntimeError, message: no voice}

To use it, run callscreen with CALLSCREEN_ANALYSIS_BASE_URL=http://127.0.0.1:8090 and any DATASPIKE_API_KEY.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stand, err := readScript(script)
			if err != nil {
				return err
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("%w (hint: choose another --listen)", err)
			}
			fmt.Fprintf(e.stdout, "simulator of the analysis API, without real detection, on http://%s\n", l.Addr())
			return serveUntil(cmd.Context(), l, stand)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8090", "address to listen on; port 0 means any free port")
	cmd.Flags().StringVar(&script, "script", "", "script, a YAML file")
	return cmd
}

func readScript(file string) (*simulator.Server, error) {
	if file == "" {
		return simulator.New(simulator.Script{}), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("--script: %w", err)
	}
	defer f.Close()
	s, err := simulator.ParseScript(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return simulator.New(s), nil
}

// serveUntil serves until the context ends. Requests in flight then have 2 s to finish.
func serveUntil(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := server.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// newAnalyzer returns a client of the API, or of a simulator in this process. observe may be nil.
func newAnalyzer(
	ctx context.Context,
	e env,
	cfg config.Config,
	simulate bool,
	script string,
	observe func(analyzer.Event),
) (*analyzer.Client, func() error, error) {
	opts := &analyzer.Options{
		BaseURL:     cfg.Analysis.BaseURL,
		UserAgent:   "callscreen/" + version,
		PollInitial: cfg.Analysis.PollInitial,
		PollMax:     cfg.Analysis.PollMax,
		Deadline:    cfg.Analysis.Deadline,
		NeverResend: !cfg.Analysis.ResendInDoubt,
		KeyRetry:    time.Minute,
		Observe:     observe,
		Log:         newLog(e.stderr),
	}
	if !simulate {
		if cfg.Analysis.APIKey == "" {
			return nil, nil, errors.New(
				"no API key is set (hint: set DATASPIKE_API_KEY or analysis.api_key_file, or add --simulate to try without a key)",
			)
		}
		client, err := analyzer.New(analyzer.Key(cfg.Analysis.APIKey.Reveal()), opts)
		if err != nil {
			return nil, nil, err
		}
		return client, func() error { client.CloseIdleConnections(); return nil }, nil
	}
	stand, err := readScript(script)
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, fmt.Errorf("start the simulator of the API: %w", err)
	}
	// The simulator has no rate limit, so poll fast.
	opts.BaseURL = "http://" + l.Addr().String()
	opts.PollInitial = min(opts.PollInitial, 20*time.Millisecond)
	client, err := analyzer.New("simulated", opts)
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- serveUntil(ctx, l, stand) }()
	return client, func() error {
		client.CloseIdleConnections()
		cancel()
		return <-done
	}, nil
}
