package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// unscreened selects calls whose final outcome is inconclusive.
const unscreened = "decision = 'inconclusive' AND final = 1"

// marks returns the placeholders and the arguments of a list of values.
func marks(values []string) (string, []any) {
	m, args := make([]string, len(values)), make([]any, len(values))
	for i, v := range values {
		m[i], args[i] = fmt.Sprintf("$%d", i+1), v
	}
	return strings.Join(m, ", "), args
}

// CallCounts holds the number of calls of each kind, counted up to a limit.
type CallCounts struct{ Waiting, Unscreened, Live, All int }

// CountCalls counts calls, up to a limit of each kind, so that the cost does not depend on the number of calls.
func (s *Store) CountCalls(ctx context.Context, limit int) (c CallCounts, err error) {
	up := func(where string) string {
		return fmt.Sprintf("(SELECT count(*) FROM (SELECT 1 FROM call WHERE %s LIMIT %d) x)", where, limit)
	}
	err = s.reader.QueryRowContext(ctx, "SELECT "+strings.Join([]string{
		up("review_state = 'waiting'"),
		up(unscreened),
		up("state = 'live'"),
		up("1 = 1"),
	}, ", ")).
		Scan(&c.Waiting, &c.Unscreened, &c.Live, &c.All)
	if err != nil {
		return c, fmt.Errorf("count calls: %w", err)
	}
	return c, nil
}

// NextWaiting returns the call that has waited for review longest, is not claimed by another user, and is not the call
// not. It returns "" if there is none.
func (s *Store) NextWaiting(ctx context.Context, now time.Time, who, not string) (call string, err error) {
	err = s.reader.QueryRowContext(
		ctx,
		`SELECT call_id FROM review WHERE state = 'waiting' AND (assignee = $1 OR claimed_until_ms <= $2) AND call_id <> $3
		ORDER BY opened_ms, call_id LIMIT 1`,
		who,
		millis(now),
		not,
	).
		Scan(&call)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("find next call to review: %w", err)
	}
	return call, nil
}

// DecisionsOf returns the announced decisions of a call, oldest first.
func (s *Store) DecisionsOf(ctx context.Context, call string) (list []Decision, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT call_id, seq, at_ms, outcome, score, threshold, reasons, policy_version, previous FROM decision WHERE call_id = $1 ORDER BY seq",
		call,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var d Decision
		var at int64
		var reasons string
		if err := r.Scan(&d.Call, &d.Seq, &at, &d.Outcome, &d.Score, &d.Threshold, &reasons, &d.PolicyVersion, &d.Previous); err != nil {
			return err
		}
		d.At = fromMillis(at)
		list = append(list, d)
		return json.Unmarshal([]byte(reasons), &list[len(list)-1].Reasons)
	})
	if err != nil {
		return nil, fmt.Errorf("list decisions of call %s: %w", call, err)
	}
	return list, nil
}

// PartsOf returns the parts of a call with their legs, oldest first.
func (s *Store) PartsOf(ctx context.Context, call string) ([]Part, error) {
	return parts(ctx, s.reader, call)
}

// AuditHead returns the number of the last audit line, 0 if there is none.
func (s *Store) AuditHead(ctx context.Context) (seq int64, err error) {
	if err := s.reader.QueryRowContext(ctx, "SELECT seq FROM audit_head WHERE id = 1").Scan(&seq); err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	return seq, nil
}

// AuditAfter returns audit lines after seq, oldest first. Lines are committed in the order of their numbers, because
// each locks the end of the chain. A line with a lower number can therefore not appear later.
func (s *Store) AuditAfter(ctx context.Context, seq int64, limit int) (list []Line, err error) {
	rows, err := s.reader.QueryContext(ctx, "SELECT "+auditColumns+" FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", seq, limit)
	err = each(rows, err, func(r *sql.Rows) error {
		l, err := scanLine(r)
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return list, nil
}

// LiveMarks returns an opaque progress mark for each live call, for at most limit calls. A changed mark means progress.
func (s *Store) LiveMarks(ctx context.Context, limit int) (map[string]string, error) {
	found := map[string]string{}
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT c.id, c.decision, (SELECT count(*) FROM segment g WHERE g.call_id = c.id), (SELECT coalesce(sum(l.duration_ms), 0)
			FROM leg l WHERE l.call_id = c.id)
		FROM call c WHERE c.state = 'live' ORDER BY c.started_ms DESC LIMIT $1`,
		limit,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var id, decision string
		var segments, took int64
		defer func() { found[id] = fmt.Sprintf("%s %d %d", decision, segments, took) }()
		return r.Scan(&id, &decision, &segments, &took)
	})
	if err != nil {
		return nil, fmt.Errorf("read live calls: %w", err)
	}
	return found, nil
}
