package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// tables are ours, in an order in which they can be filled. The job queue is not among them: its jobs are made anew.
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
}

// Export visits every row of our tables as they are at one moment, in an order in which Import can take them.
func (s *Store) Export(ctx context.Context, visit func(table string, row map[string]any) error) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.snapshot()})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // it has changed nothing
	for _, table := range tables {
		rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table.name+" ORDER BY "+table.key) //nolint:gosec // the names are ours
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
			return visit(table.name, row)
		})
		if err != nil {
			return fmt.Errorf("export %s: %w", table.name, err)
		}
	}
	return nil
}

// snapshot is the isolation in which a transaction sees one moment. In SQLite every one does.
func (s *Store) snapshot() sql.IsolationLevel {
	if s.postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}

// Importer fills an empty database with what Export has visited, in one transaction.
type Importer struct {
	t       *Tx
	columns map[string]map[string]bool
	rows    map[string]int64
}

// Import runs fill in one transaction. The database must hold no call and no audit yet. Policies that it noted itself
// are replaced. Segments that are not settled get their jobs from the next sweep.
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
				"the database holds %d calls and %d audit lines already (hint: import into one that callscreen migrate has just made)",
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
		_, err := t.exec(
			ctx,
			`UPDATE audit_head SET seq = (SELECT coalesce(max(seq), 0) FROM audit), hash = coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), '') WHERE id = 1`,
		)
		if err != nil {
			return err
		}
		_, err = t.exec(ctx, "UPDATE segment SET alarm = 0")
		return err
	})
	return i.rows, err
}

// Add inserts a row. Numbers come as json.Number, int64 or float64.
func (i *Importer) Add(ctx context.Context, table string, row map[string]any) error {
	known, err := i.known(ctx, table)
	if err != nil {
		return err
	}
	var names, marks []string
	var values []any
	for name, v := range row {
		if !known[name] {
			return fmt.Errorf("import: there is no column %q in %s", name, table)
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
	)+") VALUES ("+strings.Join(marks, ", ")+")", values...); err != nil { //nolint:gosec // both are checked
		return fmt.Errorf("import into %s: %w", table, err)
	}
	i.rows[table]++
	return nil
}

// known is the columns of a table of ours.
func (i *Importer) known(ctx context.Context, table string) (map[string]bool, error) {
	if k := i.columns[table]; k != nil {
		return k, nil
	}
	ours := false
	for _, t := range tables {
		ours = ours || t.name == table
	}
	if !ours {
		return nil, fmt.Errorf("import: there is no table %q", table)
	}
	rows, err := i.t.tx.QueryContext(ctx, "SELECT * FROM "+table+" WHERE 1 = 0") //nolint:gosec // it is one of ours
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
