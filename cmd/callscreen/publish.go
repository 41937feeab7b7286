package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"callscreen/internal/publish"
)

func newPublish(e env) *cobra.Command {
	var opt publish.Options
	codec, channel, loss, burst := "", -1, 0.0, 1
	cmd := &cobra.Command{
		Use:   "publish FILE --to http://HOST:PORT/whip/CALL/LEG",
		Short: "Plays a recording as a live call, by WHIP",
		Long: `Plays a recording as a live call, in real time, by WHIP. An Ogg Opus file is passed through as it is; every other file is
sent as G.722 (16 kHz), or as --codec says. With --calls, each call gets a number behind its id, or in place of {n}.`,
		Example: `  callscreen publish call.wav --to http://127.0.0.1:8080/whip/call-1/caller
  callscreen publish voice.opus --to 'http://127.0.0.1:8080/whip/load-{n}/caller' --calls 200 --ramp 20ms --loss 5`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || opt.To == "" {
				return usagef("publish needs one FILE and --to (hint: callscreen publish --help)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if loss < 0 || loss > 100 || opt.Calls < 1 || burst < 1 {
				return usagef("--loss is a percentage, --calls and --burst are at least 1")
			}
			opt.Impairment.Loss, opt.Impairment.Burst = loss/100, burst
			if opt.Token == "" {
				opt.Token = getenv(e.environ, "CALLSCREEN_INGEST_TOKEN")
			}
			media, err := publish.Load(cmd.Context(), args[0], codec, channel)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return publishAll(cmd.Context(), e, media, &opt)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.To, "to", "", "where to send it: http://HOST:PORT/whip/CALL/LEG")
	f.StringVar(&opt.Token, "token", "", "bearer token (default: CALLSCREEN_INGEST_TOKEN)")
	f.IntVar(&opt.Calls, "calls", 1, "calls at a time")
	f.DurationVar(&opt.Ramp, "ramp", 20*time.Millisecond, "time between the beginnings of two calls")
	f.StringVar(&codec, "codec", "", strings.Join(publish.Codecs, ", ")+" (opus needs ffmpeg)")
	f.IntVar(&channel, "channel", -1, "the channel to send, from 0 (default: the mean of all)")
	f.Float64Var(&loss, "loss", 0, "lose this percentage of the packets")
	f.IntVar(&burst, "burst", 1, "lose so many in a row")
	f.DurationVar(&opt.Impairment.Jitter, "jitter", 0, "hold up packets for a random time up to this")
	return cmd
}

func getenv(environ []string, name string) string {
	for _, kv := range environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// publishAll sends the calls, shows on a terminal how far they are, and says in the end what was sent.
func publishAll(ctx context.Context, e env, media *publish.Media, opt *publish.Options) error {
	var mu sync.Mutex
	terminal := false
	if f, ok := e.stderr.(*os.File); ok {
		terminal = term.IsTerminal(int(f.Fd()))
	}
	opt.Progress = func(s publish.Summary) {
		if terminal {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(e.stderr, "\r%d of %d calls connected, %d finished ", s.Connected, s.Calls, s.Finished)
		}
	}
	sum, err := publish.Run(ctx, media, opt)
	if terminal {
		fmt.Fprintf(e.stderr, "\r\x1b[K")
	}
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(e.stdout, "connected %d, sent %d packets\n", sum.Connected, sum.Packets)
	return sum.Err()
}
