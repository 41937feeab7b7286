package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"callscreen/internal/seal"
)

func newKeygen(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "Makes a key to encrypt audio with",
		Long: `Makes a key to encrypt audio with, for audio_key_file:

  (umask 077; callscreen keygen > audio.key)

To change keys put the new one above the old one, and keep the old one for as long as there is audio from its time. Without
its key audio is lost: keep a copy elsewhere. The format is that of age, whose program opens the files too:

  age --decrypt --identity audio.key --output segment.wav data/audio/ab/....wav`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			secret, public, err := seal.Generate()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.stdout, "# %s\n%s\n", public, secret)
			return err
		},
	}
}
