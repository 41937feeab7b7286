package main

import (
	"context"
	"errors"
	"fmt"
	"net"
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
		Use:   "publish FILE|rtp://HOST:PORT --to http://HOST:PORT/whip/CALL/LEG",
		Short: "Sends a recording or a plain RTP stream as a live call by WHIP",
		Long: `Sends a recording as a live call by WHIP, in real time. An Ogg Opus file is sent unchanged; any other file is sent as G.722
(16 kHz) or as --codec. With --calls, each call id gets a number: in place of {n}, or at the end.

With rtp://HOST:PORT it listens at that UDP address for the plain RTP of one leg, as sent by Janus, rtpengine, Asterisk and
FreeSWITCH, and forwards each packet. It ends when the sender sends an RTCP BYE or falls silent, or on SIGTERM. The payload
types 0 (PCMU), 8 (PCMA) and 9 (G.722) need no configuration. The exit code is 1 if received audio was not passed on, beyond
half a second of stray packets. Parameters of the address:
  codec=opus&payload=111   payload type of another codec (opus, g722, pcmu, pcma)
  from=HOST                accept packets of this host only, from any port (default: of the address that keeps sending)
  idle=10s                 end the leg after this time without audio
  wait=1m                  time to wait for the first packet`,
		Example: `  callscreen publish call.wav --to http://127.0.0.1:8080/whip/call-1/caller
  callscreen publish voice.opus --to 'http://127.0.0.1:8080/whip/load-{n}/caller' --calls 200 --ramp 20ms --loss 5
  callscreen publish 'rtp://127.0.0.1:5004?codec=opus&payload=111' --to http://127.0.0.1:8080/whip/call-1/caller`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || opt.To == "" {
				return usagef("publish needs one FILE, or rtp:// address, and --to (hint: callscreen publish --help)")
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
			if strings.HasPrefix(args[0], publish.RTPScheme) {
				for _, name := range []string{"calls", "ramp", "codec", "channel"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for recordings (hint: an rtp:// address is one leg; set its codec with ?codec=)", name)
					}
				}
				return bridge(cmd.Context(), e, args[0], &opt)
			}
			media, err := publish.Load(cmd.Context(), args[0], codec, channel)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return publishAll(cmd.Context(), e, media, &opt)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.To, "to", "", "WHIP endpoint: http://HOST:PORT/whip/CALL/LEG")
	f.StringVar(&opt.Token, "token", "", "bearer token (default: CALLSCREEN_INGEST_TOKEN)")
	f.IntVar(&opt.Calls, "calls", 1, "number of concurrent calls")
	f.DurationVar(&opt.Ramp, "ramp", 20*time.Millisecond, "time between the starts of two calls")
	f.StringVar(&codec, "codec", "", strings.Join(publish.Codecs, ", ")+" (opus needs ffmpeg)")
	f.IntVar(&channel, "channel", -1, "channel to send, from 0 (default: the mean of all channels)")
	f.Float64Var(&loss, "loss", 0, "percentage of packets to drop")
	f.IntVar(&burst, "burst", 1, "number of consecutive packets to drop")
	f.DurationVar(&opt.Impairment.Jitter, "jitter", 0, "delay packets by a random time up to this")
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

// publishAll sends the calls, shows their progress on a terminal, and prints the totals.
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

// bridge forwards one leg of plain RTP. It prints the listening address at once, so that scripts can wait for it.
func bridge(ctx context.Context, e env, address string, opt *publish.Options) error {
	src, err := publish.ParseRTP(address)
	if err = errors.Join(err, opt.Check()); err != nil {
		return usageError{err}
	}
	opt.Listening = func(addr net.Addr) { fmt.Fprintf(e.stderr, "callscreen: listening for RTP at %s\n", addr) }
	sum, err := publish.Bridge(ctx, src, opt)
	if err != nil {
		return err
	}
	line := fmt.Sprintf("connected %d, sent %d packets", sum.Connected, sum.Packets)
	if unsent := sum.Unsent.String(); unsent != "" {
		line += ", not sent: " + unsent
	}
	if sum.Reconnects > 0 {
		line += fmt.Sprintf(", sessions restarted: %d", sum.Reconnects)
	}
	fmt.Fprintln(e.stdout, line)
	return sum.Err()
}
