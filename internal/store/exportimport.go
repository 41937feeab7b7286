package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// tables are the tables of this package, in the order of their dependencies. The job queue is not exported; its jobs
// are created again.
var tables = []struct {
	name, key string
}{
	{
		"policy",
		"version",
	},
	{"call", "id"},
	{"part", "call_id, part, node"},
	{"leg", "call_id, part, node, leg"},
	{"segment", "id"},
	{"decision", "call_id, seq"},
	{
		"review",
		"call_id",
	},
	{"disposition", "call_id, version"},
	{"audit", "seq"},
	{"webhook_message", "id"},
	{"webhook_delivery", "message_id, endpoint"},
	{"webhook_endpoint", "name"},
	{"erased", "call_id"},
	{"erased_audio", "segment_id"},
	{"erased_spool", "node, call_id, part, leg"},
}

// ErrStalled means that an export did not go on. Its snapshot was released.
var ErrStalled = errors.New("the reader of the export does not go on")

const (
	// exportStall is the longest time that a visit of a row may take. Until the end of its snapshot the database keeps every
	// row that is changed: the WAL of SQLite grows, and PostgreSQL cannot vacuum.
	exportStall = time.Minute
	// exportTime is the longest time of an export, however it goes on.
	exportTime = 2 * time.Hour
)

// Export visits every row of all tables in one snapshot, in an order that Import accepts. The snapshot ends with ErrStalled if
// a visit takes too long, also while it is still going on.
func (s *Store) Export(ctx context.Context, visit func(table string, row map[string]any) error) error {
	ctx, cancel := context.WithTimeout(ctx, exportTime)
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stall := s.exportStall
	if stall == 0 {
		stall = exportStall
	}
	timer := time.AfterFunc(stall, func() { stop(ErrStalled) })
	defer timer.Stop()
	err := s.export(ctx, func(table string, row map[string]any) error {
		timer.Reset(stall)
		err := visit(table, row)
		timer.Reset(stall) // the next row may take its time, too
		return err
	})
	if err != nil && errors.Is(context.Cause(ctx), ErrStalled) {
		return fmt.Errorf("export: %w for %v (hint: write it to a file first)", ErrStalled, stall)
	}
	return err
}

func (s *Store) export(ctx context.Context, visit func(table string, row map[string]any) error) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot()})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // read-only
	for _, table := range tables {
		rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table.name+" ORDER BY "+table.key) //nolint:gosec // constant names
		var columns []string
		err = each(rows, err, func(r *sql.Rows) (err error) {
			if columns == nil {
				if columns, err = r.Columns(); err != nil {
					return err
				}
			}
			values, targets := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				targets[i] = &values[i]
			}
			if err := r.Scan(targets...); err != nil {
				return err
			}
			row := make(map[string]any, len(columns))
			for i, c := range columns {
				if b, ok := values[i].([]byte); ok {
					values[i] = string(b)
				}
				row[c] = values[i]
			}
			if err := visit(table.name, row); err != nil {
				return err
			}
			return ctx.Err()
		})
		if err != nil {
			return fmt.Errorf("export %s: %w", table.name, err)
		}
	}
	return nil
}

// snapshot returns the isolation level of a consistent snapshot. Every SQLite transaction is one.
func (s *Store) snapshot() sql.IsolationLevel {
	if s.postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// Importer fills an empty database with exported rows, in one transaction.
type Importer struct {
	t       *Tx
	columns map[string]map[string]bool
	rows    map[string]int64
}

// Import runs fill in one transaction. The database must have no call and no audit yet. Recorded policies are replaced.
// Unsettled segments get their jobs from the next sweep.
func (s *Store) Import(ctx context.Context, fill func(*Importer) error) (rows map[string]int64, err error) {
	i := &Importer{columns: map[string]map[string]bool{}, rows: map[string]int64{}}
	err = s.InTx(ctx, func(t *Tx) error {
		i.t = t
		var calls, lines int64
		if err := t.tx.QueryRowContext(
			ctx,
			"SELECT (SELECT count(*) FROM call), (SELECT count(*) FROM audit WHERE what <> 'policy.changed')",
		).Scan(
			&calls,
			&lines,
		); err != nil {
			return err
		}
		if calls > 0 || lines > 0 {
			return fmt.Errorf(
				"the database already has %d calls and %d audit lines (hint: import into a database fresh from callscreen migrate)",
				calls,
				lines,
			)
		}
		for _, q := range []string{"DELETE FROM audit", "DELETE FROM policy"} {
			if _, err := t.exec(ctx, q); err != nil {
				return err
			}
		}
		if err := fill(i); err != nil {
			return err
		}
		if err := t.buryAudited(ctx); err != nil {
			return err
		}
		_, err := t.exec(
			ctx,
			`UPDATE audit_head SET seq = (SELECT coalesce(max(seq), 0) FROM audit), hash = coalesce((SELECT hash FROM audit
				ORDER BY seq DESC LIMIT 1), '') WHERE id = 1`,
		)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, "UPDATE segment SET alarm = 0")
		return err
	})
	return i.rows, err
}

// Add inserts a row. Numbers are json.Number, int64 or float64.
func (i *Importer) Add(ctx context.Context, table string, row map[string]any) error {
	known, err := i.known(ctx, table)
	if err != nil {
		return err
	}
	var names, marks []string
	var values []any
	for name, v := range row {
		if !known[name] {
			return fmt.Errorf("import: unknown column %q of table %s", name, table)
		}
		if n, ok := v.(interface {
			Int64() (int64, error)
			Float64() (float64, error)
		}); ok {
			if whole, err := n.Int64(); err == nil && name != "score" && name != "threshold" {
				v = whole
			} else if f, err := n.Float64(); err == nil {
				v = f
			}
		}
		names, values = append(names, name), append(values, v)
		marks = append(marks, fmt.Sprintf("$%d", len(values)))
	}
	if _, err := i.t.exec(ctx, "INSERT INTO "+table+" ("+strings.Join(
		names,
		", ",
	)+") VALUES ("+strings.Join(marks, ", ")+")", values...); err != nil { //nolint:gosec // both are checked above
		return fmt.Errorf("import into %s: %w", table, err)
	}
	i.rows[table]++
	return nil
}

// known returns the columns of a table.
func (i *Importer) known(ctx context.Context, table string) (map[string]bool, error) {
	if k := i.columns[table]; k != nil {
		return k, nil
	}
	ours := false
	for _, t := range tables {
		ours = ours || t.name == table
	}
	if !ours {
		return nil, fmt.Errorf("import: unknown table %q", table)
	}
	rows, err := i.t.tx.QueryContext(ctx, "SELECT * FROM "+table+" WHERE 1 = 0") //nolint:gosec // checked above
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	i.columns[table] = map[string]bool{}
	for _, n := range names {
		i.columns[table][n] = true
	}
	return i.columns[table], rows.Err()
}
