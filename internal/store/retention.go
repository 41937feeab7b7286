package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ExpiredAudio returns calls whose audio retention has passed: they have ended, are decided, and do not wait for
// review. Calls whose audio is only on other nodes are left out.
func (s *Store) ExpiredAudio(ctx context.Context, node string, now time.Time, limit int) (calls []string, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT id FROM call WHERE audio_until_ms IS NOT NULL AND audio_until_ms <= $1 AND state = 'ended' AND final = 1
		AND NOT EXISTS (SELECT 1 FROM review r WHERE r.call_id = call.id AND r.state = 'waiting')
		AND NOT EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND g.state IN ('recorded', 'submitted'))
		AND EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND g.audio_key <> '' AND g.audio_node IN ('', $3))
			ORDER BY audio_until_ms LIMIT $2`,
		millis(now),
		limit,
		node,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var id string
		defer func() { calls = append(calls, id) }()
		return r.Scan(&id)
	})
	if err != nil {
		return nil, fmt.Errorf("list expired audio: %w", err)
	}
	return calls, nil
}

// ExpiredCalls returns calls that ended before a time and are complete, oldest first: decided, not waiting for review,
// without pending webhook deliveries, and without audio.
func (s *Store) ExpiredCalls(ctx context.Context, before time.Time, limit int) (calls []string, err error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id FROM call WHERE started_ms < $1 AND ended_ms < $1 AND state = 'ended' AND final = 1
		AND NOT EXISTS (SELECT 1 FROM review r WHERE r.call_id = call.id AND r.state = 'waiting')
		AND NOT EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND (g.audio_key <> '' OR g.state IN ('recorded', 'submitted')))
		AND NOT EXISTS (SELECT 1 FROM webhook_message m JOIN webhook_delivery d ON d.message_id = m.id WHERE m.call_id = call.id
			AND d.state = 'pending')
		ORDER BY started_ms, id LIMIT $2`, millis(before), limit)
	err = each(rows, err, func(r *sql.Rows) error {
		var id string
		defer func() { calls = append(calls, id) }()
		return r.Scan(&id)
	})
	if err != nil {
		return nil, fmt.Errorf("list expired calls: %w", err)
	}
	return calls, nil
}

// AudioDeleted records that the audio of segments was deleted. The hashes stay. The deletion time of the call stays too
// while other nodes still have audio, or new audio has arrived.
func (s *Store) AudioDeleted(ctx context.Context, call string, segments []SegmentRow, now time.Time) error {
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
		left, err := t.audioLeft(ctx, call)
		if err != nil {
			return err
		}
		if left == 0 {
			c.AudioUntil = nil
		}
		if err := t.SaveCall(ctx, &c); err != nil || len(segments) == 0 {
			return err
		}
		return t.Audit(ctx, Line{
			At:     now,
			Actor:  "machine",
			What:   AuditExpired,
			Call:   call,
			Detail: Detail{"sha256": hashes, "outcome": c.Decision},
		})
	})
}

// audioLeft counts the segments of a call that have audio or are not analysed yet.
func (t *Tx) audioLeft(ctx context.Context, call string) (n int, err error) {
	err = t.tx.QueryRowContext(
		ctx,
		"SELECT count(*) FROM segment WHERE call_id = $1 AND (audio_key <> '' OR state = 'submitted' OR state = 'recorded' AND reason <> $2)",
		call,
		ReasonInDoubt,
	).
		Scan(&n)
	return n, err
}

// Erase removes all data of an ended call except the audit, and records who erased it and why. Its audio must be
// deleted before, because its location is lost.
func (s *Store) Erase(ctx context.Context, call, who, why string, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		c, err := t.LockCall(ctx, call)
		if err != nil {
			return err
		}
		if c.State == CallLive {
			return fmt.Errorf("%w: call %s is live", ErrConflict, call)
		}
		left, err := t.audioLeft(ctx, call)
		if err != nil {
			return err
		}
		if left > 0 {
			return fmt.Errorf("%w: %d segments of call %s have audio or are not analysed yet", ErrConflict, left, call)
		}
		for _, q := range []string{
			"DELETE FROM webhook_delivery WHERE message_id IN (SELECT id FROM webhook_message WHERE call_id = $1)",
			"DELETE FROM webhook_message WHERE call_id = $1",
			"DELETE FROM review WHERE call_id = $1",
			"DELETE FROM disposition WHERE call_id = $1",
			"DELETE FROM decision WHERE call_id = $1",
			"DELETE FROM segment WHERE call_id = $1",
			"DELETE FROM leg WHERE call_id = $1",
			"DELETE FROM part WHERE call_id = $1",
			"DELETE FROM call WHERE id = $1",
		} {
			if _, err := t.exec(ctx, q, call); err != nil {
				return fmt.Errorf("erase call %s: %w", call, err)
			}
		}
		return t.Audit(ctx, Line{
			At:     now,
			Actor:  who,
			What:   AuditErased,
			Call:   call,
			Detail: Detail{"why": why},
		})
	})
}
