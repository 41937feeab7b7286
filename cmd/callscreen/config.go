package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"callscreen/internal/auth"
	"callscreen/internal/config"
	"callscreen/internal/terminal"
)

func newConfig(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Prints, checks or describes the configuration",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown verb %q of config (hint: print, check or describe)", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.PersistentFlags().StringVar(&file, "config", "", "configuration file (default: callscreen.yaml if it exists)")
	cmd.AddCommand(&cobra.Command{
		Use: "print", Short: "Prints the effective configuration, with secrets redacted", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := loadConfig(e, file)
			if err != nil {
				return err
			}
			return c.Print(terminal.Writer(e.stdout))
		},
	}, &cobra.Command{
		Use: "check", Short: "Prints every problem of the configuration", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, _, err := loadServe(e, file); err != nil {
				return err
			}
			_, err := fmt.Fprintln(e.stdout, "the configuration is valid")
			return err
		},
	}, &cobra.Command{
		Use: "describe", Short: "Prints the reference: every key, its default and its variable", Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return config.Describe(e.stdout) },
	})
	return cmd
}

// loadConfig loads the configuration, applies flags to it, and validates the result: a flag may replace a value of the file
// that only the flag makes valid. One error holds the problems of all steps.
func loadConfig(e env, file string, flags ...func(*config.Config)) (config.Config, error) {
	c, err := config.Load(file, e.environ)
	for _, apply := range flags {
		apply(&c)
	}
	var problems, invalid config.Problems
	if err != nil && !errors.As(err, &problems) {
		return c, err
	}
	if errors.As(c.Validate(), &invalid) {
		problems = append(problems, invalid...)
	}
	if len(problems) > 0 {
		return c, problems
	}
	return c, nil
}

// loadServe loads the configuration as loadConfig does, and the tokens. One error holds the problems of both.
func loadServe(e env, file string, flags ...func(*config.Config)) (config.Config, auth.Tokens, error) {
	c, err := loadConfig(e, file, flags...)
	tokens, weak := auth.ReadTokens(e.environ)
	var problems, more config.Problems
	if err != nil && !errors.As(err, &problems) {
		return c, nil, err
	}
	if errors.As(weak, &more) {
		problems = append(problems, more...)
	}
	if len(problems) > 0 {
		return c, nil, problems
	}
	return c, tokens, nil
}
