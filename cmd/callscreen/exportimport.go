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
	"callscreen/internal/terminal"
)

// entry is one line of an export: a row, or the end. An export without the end is incomplete.
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
		Short: "Writes the whole database to standard output, for import into another one",
		Long: `Writes all rows of the database to standard output as JSON lines, as of one point in time. The export contains personal
data: protect it like the database. It does not contain the audio, which stays in data_dir/audio or in the audio store.

To move from SQLite to PostgreSQL, stop serve and run:

  CALLSCREEN_DATABASE=postgres://... callscreen migrate
  callscreen export | CALLSCREEN_DATABASE=postgres://... callscreen import

Then start serve with the same data_dir and the new database.`,
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
		Short: "Loads an export from standard input into an empty database",
		Long: `Loads an export into an empty database. On an error, nothing is imported. The audit log is verified after the import.
Segments that are not yet analysed are analysed when serve starts.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd, e, file, func(ctx context.Context, s *store.Store) error {
				rows, err := s.Import(ctx, func(into *store.Importer) error { return fill(ctx, into, e.stdin) })
				if err != nil {
					return err
				}
				for _, table := range slices.Sorted(maps.Keys(rows)) {
					fmt.Fprintf(e.stdout, "%s: %d\n", terminal.Line(table), rows[table])
				}
				if _, _, err := s.VerifyAudit(ctx); err != nil {
					return fmt.Errorf(
						"everything was imported, but the audit is not intact: %w (hint: run callscreen audit verify on the old database)",
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

// fill imports lines up to the end entry.
func fill(ctx context.Context, into *store.Importer, r io.Reader) error {
	d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	d.UseNumber()
	got := map[string]int64{}
	for n := 1; ; n++ {
		var l entry
		err := d.Decode(&l)
		switch {
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("import: the input is incomplete after %d lines (hint: run the export again; nothing was imported)", n-1)
		case err != nil:
			return fmt.Errorf("import: line %d: %w (hint: use the output of callscreen export; nothing was imported)", n, err)
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
