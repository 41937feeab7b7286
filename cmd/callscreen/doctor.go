package main

import (
	"encoding/json"

	"github.com/spf13/cobra"

	"callscreen/internal/doctor"
	"callscreen/internal/terminal"
)

func newDoctor(e env) *cobra.Command {
	file, asJSON, submit := "", false, false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Checks everything that serve needs, and prints problems with hints",
		Long: `Checks everything that serve needs: the configuration, the API key, the API, the clock, the database, the audio store, the
disk, the media port, the receive buffer, and ffmpeg. The API is contacted without key and audio; --submit submits a test
tone of 3 s, which may be charged. The exit code is 1 if a problem prevents calls from being screened.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadServe(e, file)
			var all []doctor.Finding
			if err != nil {
				all = doctor.Misconfigured(err)
			} else {
				all = doctor.Examine(cmd.Context(), doctor.Machine{UserAgent: "callscreen/" + version}, cfg, submit)
			}
			if asJSON {
				err = json.NewEncoder(terminal.Writer(e.stdout)).Encode(map[string]any{"ok": !doctor.Failed(all), "findings": all})
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
	cmd.Flags().BoolVar(&submit, "submit", false, "submit a test tone for analysis, which may be charged")
	return cmd
}
