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
		Short: "Verifies or prints the audit log",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	configFlag(cmd, &file)
	cmd.AddCommand(&cobra.Command{
		Use:   "verify",
		Short: "Verifies that no line was changed, removed or inserted",
		Long: `Verifies the hash chain of the audit log: each line holds the SHA-256 of the line before it. A changed, removed or inserted
line breaks the chain. The first broken line is printed, and the exit code is 1.

A user with write access to the database can rewrite the chain from some line to its end. To detect that, store the printed
hash in another place from time to time: later audit logs must contain it (audit print).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				lines, last, err := s.VerifyAudit(ctx)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(e.stdout, "the audit is intact: %d lines, last hash %s\n", lines, last)
				return err
			})
		},
	}, &cobra.Command{
		Use: "print", Short: "Prints the audit log, or the lines of one call, as JSON lines", Args: cobra.MaximumNArgs(1),
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
