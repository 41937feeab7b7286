// Command callscreen-livekit sends the audio of the rooms of a LiveKit server to callscreen: a room is a call, and a
// participant is a leg. It joins each room as a hidden participant that publishes nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "callscreen-livekit:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	b := bridge{log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flags := flag.NewFlagSet("callscreen-livekit", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(
			flags.Output(),
			"usage: callscreen-livekit [flags] [ROOM...]\n\n"+
				"Without a ROOM it joins every room. LIVEKIT_API_KEY, LIVEKIT_API_SECRET and CALLSCREEN_INGEST_TOKEN are its secrets.",
		)
		flags.PrintDefaults()
	}
	flags.StringVar(&b.url, "livekit", env("LIVEKIT_URL", "ws://127.0.0.1:7880"), "the LiveKit server; also LIVEKIT_URL")
	flags.StringVar(&b.callscreen, "callscreen", "http://127.0.0.1:8080", "address of callscreen")
	flags.BoolVar(&b.agents, "agents", false, "screen agents too, whose voices are synthetic by trade")
	flags.Var(&b.legs, "leg", "IDENTITY=NAME: the name of a participant's leg; repeatable (default: the identity)")
	flags.Var(&b.metadata, "metadata", "KEY=VALUE: metadata of every call; repeatable")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	b.rooms = flags.Args()
	b.key, b.secret, b.token = os.Getenv("LIVEKIT_API_KEY"), os.Getenv("LIVEKIT_API_SECRET"), os.Getenv("CALLSCREEN_INGEST_TOKEN")
	if b.key == "" || b.secret == "" {
		return errors.New("there is no key for LiveKit (hint: set LIVEKIT_API_KEY and LIVEKIT_API_SECRET)")
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return err
	}
	b.api = webrtc.NewAPI(webrtc.WithMediaEngine(media))
	lksdk.SetLogger(logger.GetDiscardLogger())
	b.run(ctx)
	return nil
}

// pairs is a repeatable flag of the form KEY=VALUE.
type pairs map[string]string

// String implements flag.Value.
func (p *pairs) String() string { return "" }

// Set implements flag.Value.
func (p *pairs) Set(text string) error {
	key, value, ok := strings.Cut(text, "=")
	if !ok || key == "" || value == "" {
		return fmt.Errorf("%q has not the form KEY=VALUE", text)
	}
	if *p == nil {
		*p = pairs{}
	}
	(*p)[key] = value
	return nil
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}
