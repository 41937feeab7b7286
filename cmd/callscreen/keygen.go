package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"callscreen/internal/seal"
)

func newKeygen(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen",
		Short: "Generates a key for audio encryption",
		Long: `Generates a key for audio encryption, for audio_key_file:

  (umask 077; callscreen keygen > audio.key)

To rotate keys, insert the new key above the old one. Keep the old key as long as audio encrypted with it exists. Audio
without its key is lost: keep a backup of the keys. The format is that of age, whose program can decrypt the files:

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
