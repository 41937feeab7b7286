package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Reserve reserves a slot of an action that may happen once per interval over all nodes. It returns the time to wait
// before the action. If that is longer than longest, it reserves nothing and returns false.
func (s *Store) Reserve(ctx context.Context, name string, interval, longest time.Duration) (wait time.Duration, ok bool, err error) {
	now := "$3"
	if s.postgres { // one clock for all nodes
		now = "(CASE WHEN $3::bigint > 0 THEN (extract(epoch FROM clock_timestamp()) * 1000000)::bigint END)"
	}
	// GCRA without a burst: tat_us is the time of the next slot. No reservation leaves it later than longest + interval, so a
	// later one is of a clock that was set back since.
	slot := "(CASE WHEN tat_us > " + now + " AND tat_us <= " + now + " + $4 + $2 THEN tat_us ELSE " + now + " END)"
	query := "UPDATE limiter SET tat_us = " + slot + " + $2 WHERE name = $1 AND (tat_us <= " + now + " + $4 OR tat_us > " + now +
		" + $4 + $2) RETURNING tat_us - $2 - " + now
	for range 2 {
		var us int64
		rows, err := s.db.QueryContext(ctx, query, name, interval.Microseconds(), s.Due().UnixMicro(), longest.Microseconds())
		err = each(rows, err, func(r *sql.Rows) error { ok = true; return r.Scan(&us) })
		if err != nil {
			return 0, false, fmt.Errorf("rate limit: %w", err)
		}
		if ok {
			return max(time.Duration(us)*time.Microsecond, 0), true, nil
		}
		r, err := s.db.ExecContext(ctx, "INSERT INTO limiter (name, tat_us) VALUES ($1, 0) ON CONFLICT DO NOTHING", name)
		if err != nil {
			return 0, false, fmt.Errorf("rate limit: %w", err)
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return 0, false, err
		}
	}
	return 0, false, nil
}
