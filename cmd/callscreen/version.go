package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"callscreen/encode"
)

// version is set by the linker in releases.
var version = "dev"

func newVersion(e env) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Prints version and build information",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			info := buildInfo()
			if asJSON {
				return json.NewEncoder(e.stdout).Encode(info)
			}
			_, err := fmt.Fprintf(e.stdout, "callscreen %s (%s, %s, %s)\n", info.Version, info.Go, info.Platform, info.Opus)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object, with the versions of the main modules")
	return cmd
}

type build struct {
	Version  string            `json:"version"`
	Commit   string            `json:"commit,omitempty"`
	Go       string            `json:"go"`
	Platform string            `json:"platform"`
	Opus     string            `json:"opus"` // the decoder of live calls
	Modules  map[string]string `json:"modules"`
}

func buildInfo() build {
	b := build{
		Version:  version,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Opus:     encode.OpusName(),
		Modules:  map[string]string{},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Commit = s.Value
		}
	}
	for _, m := range info.Deps {
		switch m.Path {
		case "github.com/pion/webrtc/v4",
			"github.com/pion/opus",
			"github.com/hajimehoshi/go-mp3",
			"github.com/go-audio/wav",
			"github.com/cenkalti/backoff/v4":
			b.Modules[m.Path] = m.Version
		}
	}
	return b
}

// noArgs returns a usage error if there are arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%s takes no arguments, got %q", cmd.CommandPath(), args)
	}
	return nil
}
