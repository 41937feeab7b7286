package month

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"callscreen/internal/store"
)

// bulk inserts many rows into a table, some hundreds per statement. The values are part of the statement text, because
// the SQLite driver is slower with many arguments than SQLite with many values.
type bulk struct {
	exec    func(query string) error
	begin   string
	columns int
	query   []byte
	rows    int
}

const batch = 200

// columns are the columns of each table to fill, in the order of the values.
var columns = []struct{ table, names string }{
	{
		"call",
		"id, started_ms, ended_ms, state, metadata, search, decision, final, review, score, summary, decisions, published, " +
			"policy_version, decided_ms, audio_until_ms, review_state",
	},
	{"part", "call_id, part, node, ended_ms"},
	{"leg", "call_id, part, node, leg, duration_ms, lost_ms, recorded_ms, ledger, metadata"},
	{
		"segment",
		`id, call_id, part, node, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, recorded_ms, state, reason, detail, score,
			verdict, job_id, cleaned,
		audio_key, audio_sha256, audio_bytes, audio_deleted_ms, rate, voiced, attempts, submitted_ms, worker, alarm, settled_ms`,
	},
	{"decision", "call_id, seq, at_ms, outcome, score, threshold, reasons, policy_version"},
	{"review", "call_id, opened_ms, state, assignee, disposition, note, closed_ms, closed_by, version"},
}

// fill runs do in one transaction, with a function that inserts a row into a table.
func fill(ctx context.Context, s *store.Store, do func(add func(table string, values ...any) error) error) error {
	tx, err := s.Driver().GetExecutor().Begin(ctx)
	if err != nil {
		return err
	}
	bulks := map[string]*bulk{}
	for _, c := range columns {
		bulks[c.table] = &bulk{
			exec:  func(query string) error { return tx.Exec(ctx, query) },
			begin: "INSERT INTO " + c.table + " (" + c.names + ") VALUES ", columns: strings.Count(c.names, ",") + 1,
		}
	}
	err = do(func(table string, values ...any) error { return bulks[table].add(values...) })
	for _, b := range bulks {
		if err == nil {
			err = b.flush()
		}
	}
	if err != nil {
		_ = tx.Rollback(ctx) // return the first error
		return err
	}
	return tx.Commit(ctx)
}

func (b *bulk) add(values ...any) error {
	if len(values) != b.columns {
		return fmt.Errorf("%d values for %s", len(values), b.begin)
	}
	separator := "), ("
	if b.rows == 0 {
		b.query, separator = append(b.query[:0], b.begin...), "("
	}
	for _, v := range values {
		b.query = literal(append(b.query, separator...), v)
		separator = ", "
	}
	if b.rows++; b.rows == batch {
		return b.flush()
	}
	return nil
}

func (b *bulk) flush() error {
	if b.rows == 0 {
		return nil
	}
	b.rows = 0
	return b.exec(string(append(b.query, ')')))
}

// literal appends a value in the syntax of both databases. Texts are generated here and contain no quotes.
func literal(to []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(append(append(to, '\''), v...), '\'')
	case int:
		return strconv.AppendInt(to, int64(v), 10)
	case int64:
		return strconv.AppendInt(to, v, 10)
	case float64:
		return strconv.AppendFloat(to, v, 'f', -1, 64)
	case *float64:
		if v != nil {
			return literal(to, *v)
		}
	case *int64:
		if v != nil {
			return literal(to, *v)
		}
	}
	return append(to, "NULL"...)
}
