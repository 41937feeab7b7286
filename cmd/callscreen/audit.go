package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"callscreen/internal/store"
)

func newAudit(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Checks or prints the audit",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	configFlag(cmd, &file)
	cmd.AddCommand(&cobra.Command{
		Use:   "verify",
		Short: "Checks that no line was changed, removed or put in between",
		Long: `Checks that no line of the audit was changed, removed or put in between: each carries the SHA-256 of the one before. Names the
first line that does not fit, and exits with 1.

Somebody who can write to the database can also rewrite the chain from some line to its end. Keep the hash that is printed
somewhere else now and then: a later audit must still contain it (audit print).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				lines, last, err := s.VerifyAudit(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(e.stdout, "the audit is whole: %d lines, the last is %s\n", lines, last)
				return err
			})
		},
	}, &cobra.Command{
		Use: "print", Short: "Prints the audit, or that of one call, as JSON lines", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := ""
			if len(args) == 1 {
				call = args[0]
			}
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				out := json.NewEncoder(e.stdout)
				return s.Audit(ctx, call, func(l store.Line) error { return out.Encode(l) })
			})
		},
	})
	return cmd
}
