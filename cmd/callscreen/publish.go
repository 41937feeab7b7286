package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"callscreen/internal/publish"
	"callscreen/internal/terminal"
)

func newPublish(e env) *cobra.Command {
	var opt publish.Options
	var what recording
	loss, burst := 0.0, 1
	cmd := &cobra.Command{
		Use:   "publish FILE|rtp://HOST:PORT --to http://HOST:PORT/whip/CALL/LEG",
		Short: "Sends a recording or a plain RTP stream as a live call by WHIP",
		Long: `Sends a recording as a live call by WHIP, in real time. An Ogg Opus file is sent unchanged; any other file is sent as G.722
(16 kHz) or as --codec. With --calls, each call id gets a number: in place of {n}, or at the end. With --channels split,
each channel is a leg with a session of its own; its name, of --legs, takes the place of LEG.

With rtp://HOST:PORT it listens at that UDP address for the plain RTP of one leg, as sent by Janus, rtpengine, Asterisk and
FreeSWITCH, and forwards each packet. It ends when the sender sends an RTCP BYE or falls silent, or on SIGTERM. The payload
types 0 (PCMU), 8 (PCMA) and 9 (G.722) need no configuration. The exit code is 1 if received audio was not passed on, beyond
half a second of stray packets. Parameters of the address:
  codec=opus&payload=111   payload type of another codec (opus, g722, pcmu, pcma)
  from=HOST                accept packets of this host only, from any port (default: of the address that keeps sending)
  idle=10s                 end the leg after this time without audio
  wait=1m                  time to wait for the first packet`,
		Example: `  callscreen publish call.wav --to http://127.0.0.1:8080/whip/call-1/caller
  callscreen publish stereo.wav --channels split --legs caller,agent --to http://127.0.0.1:8080/whip/call-1
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
				for _, name := range []string{"calls", "ramp", "codec", "channel", "channels", "legs"} {
					if cmd.Flags().Changed(name) {
						return usagef("--%s is for recordings (hint: an rtp:// address is one leg; set its codec with ?codec=)", name)
					}
				}
				return bridge(cmd.Context(), e, args[0], &opt)
			}
			what.file, what.named = args[0], cmd.Flags().Changed("channels")
			if what.named && cmd.Flags().Changed("channel") {
				return usagef("--channel and --channels exclude each other (hint: --channels 0)")
			}
			legs, err := what.load(cmd.Context(), e)
			if err != nil {
				return err
			}
			return publishAll(cmd.Context(), e, legs, &opt)
		},
	}
	f := cmd.Flags()
	f.StringVar(&opt.To, "to", "", "WHIP endpoint: http://HOST:PORT/whip/CALL/LEG")
	f.StringVar(&opt.Token, "token", "", "bearer token (default: CALLSCREEN_INGEST_TOKEN)")
	f.IntVar(&opt.Calls, "calls", 1, "number of concurrent calls")
	f.DurationVar(&opt.Ramp, "ramp", 20*time.Millisecond, "time between the starts of two calls")
	f.StringVar(&what.codec, "codec", "", strings.Join(publish.Codecs, ", ")+" (opus needs ffmpeg)")
	f.IntVar(&what.channel, "channel", -1, "channel to send, from 0 (default: the mean of all channels)")
	f.StringVar(&what.channels, "channels", "mix", "split (each channel is a leg), mix, or the number of a single channel, from 0")
	f.StringSliceVar(&what.legs, "legs", []string{"caller", "agent"}, "leg names of the channels, in order, with --channels split")
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

// recording is a file to publish.
type recording struct {
	file, codec string
	channel     int
	channels    string
	named       bool // --channels was given
	legs        []string
}

// load reads the legs to send.
func (r recording) load(ctx context.Context, e env) ([]publish.Leg, error) {
	channel := r.channel
	switch n, err := strconv.Atoi(r.channels); {
	case !r.named:
	case r.channels == "split":
		return r.split(ctx, e)
	case r.channels == "mix":
		channel = -1
	case err != nil || n < 0:
		return nil, usagef("--channels: %q is not split, mix or the number of a channel", r.channels)
	default:
		channel = n
	}
	media, err := publish.Load(ctx, r.file, r.codec, channel)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.file, err)
	}
	return []publish.Leg{{Media: media}}, nil
}

// split reads each channel as a leg. Channels with the same audio are one leg.
func (r recording) split(ctx context.Context, e env) ([]publish.Leg, error) {
	if err := checkLegs(r.legs); err != nil {
		return nil, err
	}
	legs, mono, err := publish.LoadLegs(ctx, r.file, r.codec, r.legs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.file, err)
	}
	if mono {
		fmt.Fprintf(e.stderr, "callscreen: warning: mono_source: %q holds one channel of audio, sent once as the leg %q\n", r.file, r.legs[0])
	}
	return legs, nil
}

// publishAll sends the calls, shows their progress on a terminal, and prints the totals.
func publishAll(ctx context.Context, e env, legs []publish.Leg, opt *publish.Options) error {
	var mu sync.Mutex
	tty := false
	if f, ok := e.stderr.(*os.File); ok {
		tty = term.IsTerminal(int(f.Fd()))
	}
	opt.Progress = func(s publish.Summary) {
		if tty {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintf(e.stderr, "\r%d of %d calls connected, %d finished ", s.Connected, s.Calls, s.Finished)
		}
	}
	sum, err := publish.RunLegs(ctx, legs, opt)
	if tty {
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
	fmt.Fprintln(e.stdout, terminal.Line(line))
	return sum.Err()
}
