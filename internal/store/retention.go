package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// ExpiredAudio lists calls whose audio has been kept for long enough: they have ended, are decided, and nobody has still
// to look at them.
func (s *Store) ExpiredAudio(ctx context.Context, now time.Time, limit int) (calls []string, err error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id FROM call WHERE audio_until_ms IS NOT NULL AND audio_until_ms <= $1 AND state = 'ended' AND final = 1
		AND NOT EXISTS (SELECT 1 FROM review r WHERE r.call_id = call.id AND r.state = 'waiting')
		AND NOT EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND g.state IN ('recorded', 'submitted')) ORDER BY audio_until_ms LIMIT $2`, millis(now), limit)
	err = each(rows, err, func(r *sql.Rows) error {
		var id string
		defer func() { calls = append(calls, id) }()
		return r.Scan(&id)
	})
	if err != nil {
		return nil, fmt.Errorf("look for audio that was kept long enough: %w", err)
	}
	return calls, nil
}

// AudioDeleted notes that the audio of segments of a call is gone. Their hashes stay.
func (s *Store) AudioDeleted(ctx context.Context, call string, segments []Segment, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		c, err := t.LockCall(ctx, call)
		if err != nil {
			return err
		}
		hashes := []string{}
		for _, g := range segments {
			if _, err := t.exec(ctx, "UPDATE segment SET audio_key = '', audio_deleted_ms = $2 WHERE id = $1", g.ID, millis(now)); err != nil {
				return err
			}
			hashes = append(hashes, g.AudioSHA256)
		}
		c.AudioUntil = nil
		if err := t.SaveCall(ctx, &c); err != nil || len(segments) == 0 {
			return err
		}
		return t.Audit(ctx, Line{At: now, Actor: "machine", What: AuditExpired, Call: call, Detail: Detail{"sha256": hashes, "outcome": c.Decision}})
	})
}

// Erase removes everything about a call that was ended, but the audit, and notes who did it and why.
func (s *Store) Erase(ctx context.Context, call, who, why string, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		c, err := t.LockCall(ctx, call)
		if err != nil {
			return err
		}
		if c.State == CallLive {
			return fmt.Errorf("%w: call %s is live", ErrConflict, call)
		}
		for _, q := range []string{
			"DELETE FROM webhook_delivery WHERE message_id IN (SELECT id FROM webhook_message WHERE call_id = $1)",
			"DELETE FROM webhook_message WHERE call_id = $1", "DELETE FROM review WHERE call_id = $1", "DELETE FROM disposition WHERE call_id = $1", "DELETE FROM decision WHERE call_id = $1",
			"DELETE FROM segment WHERE call_id = $1", "DELETE FROM leg WHERE call_id = $1", "DELETE FROM part WHERE call_id = $1", "DELETE FROM call WHERE id = $1",
		} {
			if _, err := t.exec(ctx, q, call); err != nil {
				return fmt.Errorf("erase call %s: %w", call, err)
			}
		}
		return t.Audit(ctx, Line{At: now, Actor: who, What: AuditErased, Call: call, Detail: Detail{"why": why}})
	})
}

// tables are ours, in an order in which they can be filled. The job queue is not among them: its jobs are made anew.
var tables = []struct {
	name, key string
}{
	{"policy", "version"}, {"call", "id"}, {"part", "call_id, part, node"}, {"leg", "call_id, part, node, leg"}, {"segment", "id"}, {"decision", "call_id, seq"},
	{"review", "call_id"}, {"disposition", "call_id, version"}, {"audit", "seq"}, {"webhook_message", "id"}, {"webhook_delivery", "message_id, endpoint"}, {"webhook_endpoint", "name"},
}

// Export visits every row of our tables, in an order in which Import can take them.
func (s *Store) Export(ctx context.Context, visit func(table string, row map[string]any) error) error {
	for _, table := range tables {
		rows, err := s.reader.QueryContext(ctx, "SELECT * FROM "+table.name+" ORDER BY "+table.key) //nolint:gosec // the names are ours
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
		if err := t.tx.QueryRowContext(ctx, "SELECT (SELECT count(*) FROM call), (SELECT count(*) FROM audit WHERE what <> 'policy.changed')").Scan(&calls, &lines); err != nil {
			return err
		}
		if calls > 0 || lines > 0 {
			return fmt.Errorf("the database holds %d calls and %d audit lines already (hint: import into one that callscreen migrate has just made)", calls, lines)
		}
		for _, q := range []string{"DELETE FROM audit", "DELETE FROM policy"} {
			if _, err := t.exec(ctx, q); err != nil {
				return err
			}
		}
		if err := fill(i); err != nil {
			return err
		}
		_, err := t.exec(ctx, `UPDATE audit_head SET seq = (SELECT coalesce(max(seq), 0) FROM audit), hash = coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), '') WHERE id = 1`)
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
	if _, err := i.t.exec(ctx, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", values...); err != nil { //nolint:gosec // both are checked
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
