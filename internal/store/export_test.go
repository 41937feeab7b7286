package store

import (
	"context"
	"strings"
)

// Plan returns the query plan of a list of calls.
func (s *Store) Plan(ctx context.Context, f Filter) (string, error) {
	query, args := f.query(50, "instr")
	explain := "EXPLAIN QUERY PLAN "
	if s.postgres {
		explain = "EXPLAIN "
	}
	rows, err := s.reader.QueryContext(ctx, explain+query, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values, targets := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return "", err
		}
		if text, ok := values[len(values)-1].(string); ok {
			lines = append(lines, text)
		}
	}
	return strings.Join(lines, "\n"), rows.Err()
}

// Analyze updates the statistics of the database.
func (s *Store) Analyze(ctx context.Context) error {
	_, err := s.db.ExecContext(ctx, "ANALYZE")
	return err
}
