package main

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"callscreen/internal/store"
	"callscreen/internal/terminal"
)

func newWebhooks(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "webhooks",
		Short: "Lists undeliverable messages and sends them again",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	configFlag(cmd, &file)
	all := false
	replay := &cobra.Command{
		Use:   "replay (MESSAGE ENDPOINT | --all)",
		Short: "Sends one undeliverable message again, or all of them",
		Args: func(_ *cobra.Command, args []string) error {
			if all && len(args) > 0 || !all && len(args) != 2 {
				return usagef("want MESSAGE ENDPOINT, or --all (hint: callscreen webhooks list)")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				if !all {
					return notGivenUp(s.Replay(ctx, args[0], args[1], operator(), time.Now()))
				}
				n := 0
				for {
					list, err := s.DeadLetters(ctx, 500)
					if err != nil || len(list) == 0 {
						fmt.Fprintf(e.stdout, "%d messages are queued again\n", n)
						return err
					}
					for _, d := range list {
						if err := s.Replay(ctx, d.ID, d.Endpoint, operator(), time.Now()); err != nil && !errors.Is(err, store.ErrNotFound) {
							return err
						}
						n++
					}
				}
			})
		},
	}
	replay.Flags().BoolVar(&all, "all", false, "all undeliverable messages")
	cmd.AddCommand(replay, &cobra.Command{
		Use: "list", Short: "Lists the undeliverable messages", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				list, err := s.DeadLetters(ctx, 1000)
				if err != nil {
					return err
				}
				w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
				fmt.Fprintln(w, "message\tendpoint\tevent\tcall\tgiven up\tattempts\twhy")
				for _, d := range list {
					fmt.Fprintf(
						w,
						"%s\t%s\t%s\t%s\t%s\t%d\t%s\n",
						terminal.Line(d.ID),
						terminal.Line(d.Endpoint),
						terminal.Line(d.Event),
						terminal.Line(d.Call),
						d.SettledAt.Format(time.RFC3339),
						d.Attempts,
						terminal.Line(d.LastError),
					)
				}
				return w.Flush()
			})
		},
	}, &cobra.Command{
		Use: "enable ENDPOINT", Short: "Enables an endpoint that was disabled because it answered 410 Gone", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				err := s.EnableEndpoint(ctx, args[0], operator(), time.Now())
				if errors.Is(err, store.ErrNotFound) {
					return fmt.Errorf("endpoint %q is not disabled (hint: use its name in the configuration)", args[0])
				}
				return err
			})
		},
	})
	return cmd
}

func notGivenUp(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return errors.New("no such undeliverable message (hint: callscreen webhooks list)")
	}
	return err
}

// operator is the name of the command line in the audit log.
func operator() string {
	if u, err := user.Current(); err == nil {
		return "operator " + u.Username
	}
	return "operator"
}
