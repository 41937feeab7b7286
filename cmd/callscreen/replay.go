package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"callscreen/capture"
	"callscreen/capture/vad"
	"callscreen/internal/config"
	"callscreen/internal/replay"
	"callscreen/internal/report"
	"callscreen/internal/terminal"
)

type replayFlags struct {
	config    string
	channels  string
	legs      []string
	threshold float64
	realtime  bool
	json      bool
	out       string
	simulate  bool
	script    string
	jobs      int
}

func newReplay(e env) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay FILE...",
		Short: "Screens recordings through the pipeline of live calls",
		Long: `Screens recordings through the pipeline of live calls. Each file is decoded and its channels become the legs of one call.
The speech is cut into segments, each segment is analysed, and the policy decides. A directory stands for all recordings in
it.

Exit code: 0 every call is clear, 1 error, 2 usage, 3 at least one call is flagged, 4 none is flagged but at least one is
inconclusive.`,
		Example: `  callscreen replay call.wav
  callscreen replay --simulate --json testdata/audio/two-legs.wav
  callscreen replay --channels 0 --legs caller --threshold 0.7 recordings/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("replay needs at least one FILE (hint: callscreen replay --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReplay(cmd.Context(), e, f, cmd.Flags().Changed("threshold"), args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration file (default: callscreen.yaml if it exists)")
	flags.StringVar(&f.channels, "channels", "split", "split (each channel is a leg), mix, or the number of a single channel, from 0")
	flags.StringSliceVar(&f.legs, "legs", []string{"caller", "agent"}, "leg names of the channels, in order")
	flags.Float64Var(&f.threshold, "threshold", 0, "threshold; greater scores are flagged (default: policy.threshold)")
	flags.BoolVar(&f.realtime, "realtime", false, "process the recording in real time")
	flags.BoolVar(&f.json, "json", false, "print one JSON object per call, one per line")
	flags.StringVar(&f.out, "out", "", "keep the WAV files of the segments in this directory")
	flags.BoolVar(&f.simulate, "simulate", false, "use the built-in simulator of the API: no key, no network, no real detection")
	flags.StringVar(&f.script, "script", "", "script of the simulator, a YAML file (see callscreen simulator --help)")
	flags.IntVar(&f.jobs, "jobs", 2, "number of recordings decoded concurrently")
	return cmd
}

func runReplay(ctx context.Context, e env, f replayFlags, thresholdSet bool, args []string) (err error) {
	channels, err := replay.ParseChannels(f.channels)
	if err != nil {
		return usagef("--channels: %w", err)
	}
	if err := checkLegs(f.legs); err != nil {
		return err
	}
	if f.jobs < 1 {
		return usagef("--jobs is %d, must be at least 1", f.jobs)
	}
	if f.script != "" && !f.simulate {
		return usagef("--script needs the simulator (hint: add --simulate)")
	}
	threshold := func(c *config.Config) {
		if thresholdSet {
			c.Policy.Threshold = f.threshold
			c.Policy.ClearBelow = min(c.Policy.ClearBelow, f.threshold)
		}
	}
	usual := config.Default()
	threshold(&usual)
	if err := usual.Policy.Validate(); err != nil {
		return usagef("--threshold: %s", strings.TrimPrefix(oneLine(err), "threshold: "))
	}
	cfg, err := loadConfig(e, f.config, threshold)
	if err != nil {
		return err
	}
	files, listErr := recordings(args)
	if len(files) == 0 {
		return listErr
	}

	client, closeClient, err := newAnalyzer(ctx, e, cfg, f.simulate, f.script, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeClient()) }()
	dir, removeDir, err := segmentFolder(f.out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeDir()) }()

	progress := newProgress(e.stderr, len(files))
	defer progress.close()
	screener, err := replay.NewScreener(replay.ScreenerConfig{
		Analyzer:     client,
		Dir:          dir,
		Keep:         f.out != "",
		MaxInFlight:  cfg.Analysis.MaxInFlight,
		RetryCleaned: cfg.Analysis.RetryCleaned,
		Limit:        limiter(cfg, f.simulate),
		OnSettled:    progress.settled,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, screener.Close()) }()

	r := replayer{
		env:      e,
		flags:    f,
		progress: progress,
		screener: screener,
		replay: replay.Replay{
			Channels: channels,
			Legs:     f.legs,
			Realtime: f.realtime,
			Segment:  cfg.Segment.Segmenter(),
			Intake:   screener,
			NewVAD:   func() (capture.VAD, error) { return vad.New(cfg.Segment.SampleRate, nil) },
		},
	}
	ids := callIDs(files)
	for i, file := range files {
		r.calls = append(r.calls, &replayed{file: file, call: replay.NewCall(replay.CallConfig{
			ID: ids[i], File: file, Policy: cfg.Policy, Simulated: f.simulate,
		}), read: make(chan struct{})})
	}
	code := r.run(ctx)
	if listErr != nil {
		printError(e.stderr, listErr)
		code = exitError
	}
	if code != exitOK {
		return outcomeError(code)
	}
	return nil
}

// limiter limits submissions to the configured rate. The built-in simulator has no limit.
func limiter(cfg config.Config, simulate bool) *rate.Limiter {
	if simulate {
		return nil
	}
	return rate.NewLimiter(rate.Limit(cfg.Analysis.RatePerSecond), 1)
}

func checkLegs(legs []string) error {
	seen := map[string]bool{}
	for _, l := range legs {
		if l == "" || seen[l] {
			return usagef("--legs: %q is empty or not unique (hint: --legs caller,agent)", l)
		}
		seen[l] = true
	}
	return nil
}

// replayed is one recording and its call.
type replayed struct {
	file string
	call *replay.Call
	read chan struct{} // closed when the file is read or has failed
	err  error         // read error; valid once read is closed
}

type replayer struct {
	env      env
	flags    replayFlags
	progress *progress
	screener *replay.Screener
	replay   replay.Replay
	calls    []*replayed
}

// run reads and analyses all recordings and returns the exit code. It prints the calls in order, each as soon as it is
// decided.
func (r *replayer) run(ctx context.Context) int {
	var readers, analysis sync.WaitGroup
	defer analysis.Wait()
	analysis.Go(func() { _ = r.screener.Run(ctx) }) // failed analyses are in the reports of the calls
	queue := make(chan *replayed)
	for range r.flags.jobs {
		readers.Go(func() {
			for c := range queue {
				c.err = r.replay.File(ctx, c.call, c.file)
				close(c.read)
			}
		})
	}
	readers.Go(func() {
		defer close(queue)
		for _, c := range r.calls {
			queue <- c
		}
	})
	analysis.Go(func() {
		readers.Wait()
		r.screener.Done()
	})

	printer := newPrinter(r.env.stdout, r.flags.json)
	var counts [4]int // clear, inconclusive, flagged, failed
	for _, c := range r.calls {
		<-c.read
		if ctx.Err() == nil {
			select {
			case <-c.call.Settled():
			case <-ctx.Done():
			}
		}
		outcome := c.call.Report()
		r.progress.pause()
		switch {
		case c.err != nil && len(outcome.Segments) == 0:
			counts[3]++
		default:
			printer.print(outcome)
			counts[outcomeIndex(outcome.Decision)]++
		}
		if c.err != nil && ctx.Err() == nil {
			err := c.err
			if text := err.Error(); !strings.Contains(text, c.file) && !strings.Contains(text, strconv.Quote(c.file)) {
				err = fmt.Errorf("%s: %w", c.file, err)
			}
			printError(r.env.stderr, err)
			counts[3]++
		}
		r.progress.done()
	}
	if printer.err != nil {
		printError(r.env.stderr, fmt.Errorf("write the result: %w", printer.err))
		return exitError
	}
	switch {
	case ctx.Err() != nil:
		printError(r.env.stderr, errors.New("interrupted: results are incomplete (hint: run it again)"))
		return exitError
	case counts[3] > 0:
		return exitError
	case counts[2] > 0:
		return exitFlagged
	case counts[1] > 0:
		return exitInconclusive
	}
	return exitOK
}

func outcomeIndex(decision string) int {
	switch decision {
	case "clear":
		return 0
	case "inconclusive":
		return 1
	}
	return 2
}

// segmentFolder returns the directory of the WAV files, and a function that removes it if it is temporary.
func segmentFolder(out string) (dir string, remove func() error, err error) {
	if out != "" {
		if err := os.MkdirAll(out, 0o700); err != nil {
			return "", nil, fmt.Errorf("--out: %w", err)
		}
		return out, func() error { return nil }, nil
	}
	dir, err = os.MkdirTemp("", "callscreen-")
	if err != nil {
		return "", nil, fmt.Errorf("create a directory for the segments: %w (hint: set TMPDIR)", err)
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}

// printer writes reports for a person or for a program.
type printer struct {
	w    io.Writer
	json *json.Encoder
	err  error // the first one
}

func newPrinter(w io.Writer, asJSON bool) *printer {
	p := &printer{w: w}
	if asJSON {
		p.json = json.NewEncoder(terminal.Writer(w))
		p.json.SetEscapeHTML(false)
	}
	return p
}

func (p *printer) print(r report.Report) {
	if p.err != nil {
		return
	}
	if p.json != nil {
		p.err = p.json.Encode(r)
		return
	}
	p.err = printTable(p.w, r)
}
