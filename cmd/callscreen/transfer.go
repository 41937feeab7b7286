package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"callscreen/internal/store"
)

// entry is a line of an export: a row, or the end, without which the export is not whole.
type entry struct {
	Table string           `json:"table,omitempty"`
	Row   map[string]any   `json:"row,omitempty"`
	End   bool             `json:"end,omitempty"`
	Rows  map[string]int64 `json:"rows,omitempty"`
}

func newExport(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Writes the whole database to standard output, to be imported into another",
		Long: `Writes every row of the database to standard output as JSON lines, as they are at one moment. It holds what is known of
callers: treat it like the database. The audio is not in it; it stays in data_dir/audio or in the audio store.

To move from SQLite to PostgreSQL, stop serve and then:

  CALLSCREEN_DATABASE=postgres://... callscreen migrate
  callscreen export | CALLSCREEN_DATABASE=postgres://... callscreen import

and start serve with the same data_dir and the new database.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				buffered := bufio.NewWriterSize(e.stdout, 1<<16)
				out, rows := json.NewEncoder(buffered), map[string]int64{}
				if err := s.Export(ctx, func(table string, row map[string]any) error {
					rows[table]++
					return out.Encode(entry{Table: table, Row: row})
				}); err != nil {
					return err
				}
				return errors.Join(out.Encode(entry{End: true, Rows: rows}), buffered.Flush())
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

func newImport(e env) *cobra.Command {
	file := ""
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Fills an empty database from standard input, with what export has written",
		Long: `Fills an empty database with what callscreen export has written, all of it or, on any error, nothing. The audit chain is
checked afterwards. Segments that were not analysed yet get their turn when serve starts.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				rows, err := s.Import(ctx, func(into *store.Importer) error { return fill(ctx, into, e.stdin) })
				if err != nil {
					return err
				}
				for _, table := range slices.Sorted(maps.Keys(rows)) {
					fmt.Fprintf(e.stdout, "%s: %d\n", table, rows[table])
				}
				if _, _, err := s.VerifyAudit(ctx); err != nil {
					return fmt.Errorf(
						"everything was imported, but the audit is not whole: %w (hint: it was not before either; callscreen audit verify on the old database)",
						err,
					)
				}
				return nil
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// fill imports lines until the one that says that they were all.
func fill(ctx context.Context, into *store.Importer, r io.Reader) error {
	d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	d.UseNumber()
	got := map[string]int64{}
	for n := 1; ; n++ {
		var l entry
		err := d.Decode(&l)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("import: the input ends after %d lines without its end (hint: was it cut off? nothing was imported)", n-1)
		case err != nil:
			return fmt.Errorf("import: line %d: %w (hint: is it from callscreen export? nothing was imported)", n, err)
		case l.End && !maps.Equal(l.Rows, got):
			return fmt.Errorf("import: rows are missing: %v of %v (hint: nothing was imported)", got, l.Rows)
		case l.End:
			return nil
		}
		got[l.Table]++
		if err := into.Add(ctx, l.Table, l.Row); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
}
