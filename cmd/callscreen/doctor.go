package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"callscreen/internal/doctor"
)

func newDoctor(e env) *cobra.Command {
	file, asJSON, submit := "", false, false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Looks at everything that serve needs, and says what is wrong and what to do",
		Long: `Looks at everything that serve needs: the configuration, the API key, the API, the clock, the database, the audio store, the
disk, the port for media, the receive buffer, and ffmpeg. The API is reached without the key and without audio; --submit has
a test tone of 3 s analysed, which may be paid for. Exits with 1 if something is wrong that keeps calls from being screened.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(e, file)
			var all []doctor.Finding
			if err != nil {
				all = doctor.Misconfigured(err)
			} else {
				all = doctor.Examine(cmd.Context(), doctor.Machine{UserAgent: "callscreen/" + version}, cfg, submit)
			}
			if asJSON {
				err = json.NewEncoder(e.stdout).Encode(map[string]any{"ok": !doctor.Failed(all), "findings": all})
			} else {
				err = doctor.Print(e.stdout, all)
			}
			if err == nil && doctor.Failed(all) {
				err = outcomeError(exitError)
			}
			return err
		},
	}
	configFlag(cmd, &file)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object")
	cmd.Flags().BoolVar(&submit, "submit", false, "have a test tone analysed, which may be paid for")
	return cmd
}
