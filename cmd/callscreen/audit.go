package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"callscreen/internal/anchor"
	"callscreen/internal/store"
	"callscreen/internal/terminal"
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
	cmd.AddCommand(newAuditVerify(e, &file), newAuditHead(e, &file), newAuditKeygen(e), &cobra.Command{
		Use:   "print",
		Short: "Prints the audit log, or the lines of one call, as JSON lines with their hashes",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			call := ""
			if len(args) == 1 {
				call = args[0]
			}
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				out := json.NewEncoder(terminal.Writer(e.stdout))
				return s.Audit(ctx, call, func(l store.Line) error { return out.Encode(l) })
			})
		},
	})
	return cmd
}

func newAuditVerify(e env, file *string) *cobra.Command {
	var heads []string
	public := ""
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Verifies that no line was changed, removed or inserted",
		Long: `Verifies the hash chain of the audit log: each line holds the SHA-256 of the line before it. A changed, removed or inserted
line breaks the chain. The first broken line is printed, and the exit code is 1.

A user with write access to the database can rewrite the chain from some line to its end, or cut it off. To detect that, keep
its head in another place from time to time (callscreen audit head, or the event audit.head), and give it to --head: the chain
must contain it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if public != "" && len(heads) == 0 {
				return usagef("--key verifies kept heads (hint: add --head FILE)")
			}
			var kept []store.Head
			for _, name := range heads {
				h, err := readHead(name, public)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				kept = append(kept, store.Head(h))
			}
			return withStore(cmd, e, *file, func(ctx context.Context, s *store.Store) error {
				lines, last, err := s.VerifyAudit(ctx, kept...)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(e.stdout, "the audit is intact: %d lines, last hash %s\n", lines, terminal.Line(last))
				if err == nil && len(kept) > 0 {
					_, err = fmt.Fprintf(e.stdout, "it contains %d kept heads\n", len(kept))
				}
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&heads, "head", nil, "file with a kept head, which the audit must contain; can be repeated")
	cmd.Flags().StringVar(&public, "key", "", "public key of audit keygen; every kept head must be signed with it")
	return cmd
}

// maxHead bounds the size of a kept head.
const maxHead = 64 << 10

func readHead(name, public string) (h anchor.Head, err error) {
	f, err := os.Open(name)
	if err != nil {
		return h, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxHead))
	if err != nil {
		return h, err
	}
	return anchor.Parse(data, public)
}

func newAuditHead(e env, file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "head",
		Short: "Prints number and hash of the last line, to be kept in another place",
		Long: `Prints number and hash of the last line of the audit log. Kept in another place, it shows later whether lines up to it were
changed or removed (callscreen audit verify --head). With audit_key_file it is a signed note.`,
		Example: `  callscreen audit head > head-$(date -I).txt`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(e, *file)
			if err != nil {
				return err
			}
			var signer *anchor.Signer
			if cfg.AuditKey != "" {
				if signer, err = anchor.ParseSigner(cfg.AuditKey.Reveal()); err != nil {
					return fmt.Errorf("audit_key_file: %w", err)
				}
			}
			return withStore(cmd, e, *file, func(ctx context.Context, s *store.Store) error {
				h, err := s.Head(ctx)
				if err != nil {
					return err
				}
				text, err := signer.Format(anchor.Head(h), time.Now())
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(terminal.Writer(e.stdout), text)
				return err
			})
		},
	}
}

func newAuditKeygen(e env) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen NAME FILE",
		Short: "Generates a key that signs heads",
		Long: `Generates a key that signs the heads of the audit log. The secret half is written to FILE, for audit_key_file. The public half
is printed, for audit verify --key. NAME identifies the signer, such as a host name.`,
		Example: `  callscreen audit keygen bank.example audit.key`,
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			secret, public, err := anchor.Generate(args[0])
			if err != nil {
				return err
			}
			f, err := os.OpenFile(args[1], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(f, secret)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.stdout, public)
			return err
		},
	}
}
