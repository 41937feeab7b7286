package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// ExpiredAudio is a call whose audio retention has passed.
type ExpiredAudio struct {
	Call  string
	Until int64 // end of the retention, in milliseconds since 1970
}

// ExpiredAudio returns calls whose audio retention has passed, in the order of its end: they have ended, are decided, and do
// not wait for review. Calls whose audio is only on other nodes are left out. The list begins behind a call.
func (s *Store) ExpiredAudio(
	ctx context.Context, node string, now time.Time, after ExpiredAudio, limit int,
) (list []ExpiredAudio, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT id, audio_until_ms FROM call WHERE audio_until_ms IS NOT NULL AND audio_until_ms <= $1 AND `+audioUnneeded+`
		AND EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND g.audio_key <> '' AND g.audio_node IN ('', $3))
			AND (audio_until_ms, id) > ($4, $5) ORDER BY audio_until_ms, id LIMIT $2`,
		millis(now),
		limit,
		node,
		after.Until,
		after.Call,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var e ExpiredAudio
		err := r.Scan(&e.Call, &e.Until)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list expired audio: %w", err)
	}
	return list, nil
}

// audioUnneeded selects calls that need their audio no more once its retention has passed.
const audioUnneeded = `state = 'ended' AND final = 1
	AND NOT EXISTS (SELECT 1 FROM review r WHERE r.call_id = call.id AND r.state = 'waiting')
	AND NOT EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND g.state IN ('recorded', 'submitted'))`

// ExpiredCalls returns calls that ended before a time and are complete, oldest first: decided, not waiting for review,
// without pending webhook deliveries, and without audio except on the nodes that are gone. The list begins behind a call.
func (s *Store) ExpiredCalls(
	ctx context.Context, before time.Time, gone []string, after Cursor, limit int,
) (list []Cursor, err error) {
	places, args := marks(gone)
	kept := "g.audio_key <> ''"
	if len(gone) > 0 {
		kept += " AND g.audio_node NOT IN (" + places + ")"
	}
	n := len(args)
	query := fmt.Sprintf(`SELECT started_ms, id FROM call WHERE started_ms < $%[1]d AND ended_ms < $%[1]d AND %[5]s
		AND NOT EXISTS (SELECT 1 FROM segment g WHERE g.call_id = call.id AND %[6]s)
		AND NOT EXISTS (SELECT 1 FROM webhook_message m JOIN webhook_delivery d ON d.message_id = m.id WHERE m.call_id = call.id
			AND d.state = 'pending')
		AND (started_ms, id) > ($%[2]d, $%[3]d) ORDER BY started_ms, id LIMIT $%[4]d`,
		n+1, n+2, n+3, n+4, audioUnneeded, kept) //nolint:gosec // constant conditions and placeholders
	rows, err := s.reader.QueryContext(ctx, query, append(args, millis(before), after.StartedMS, after.ID, limit)...)
	err = each(rows, err, func(r *sql.Rows) error {
		var c Cursor
		err := r.Scan(&c.StartedMS, &c.ID)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list expired calls: %w", err)
	}
	return list, nil
}

// AudioDeleted records that the audio of segments was deleted, once however many nodes delete it. The hashes stay. The
// deletion time of the call stays too while other nodes still have audio, or new audio has arrived.
func (s *Store) AudioDeleted(ctx context.Context, call string, segments []SegmentRow, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		c, err := t.LockCall(ctx, call)
		if err != nil {
			return err
		}
		hashes := []string{}
		for _, g := range segments {
			n, err := t.exec(
				ctx,
				"UPDATE segment SET audio_key = '', audio_deleted_ms = $2 WHERE id = $1 AND audio_key <> ''",
				g.ID,
				millis(now),
			)
			if err != nil {
				return err
			}
			if n == 0 {
				continue // another node was faster
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
		if err := t.SaveCall(ctx, &c); err != nil || len(hashes) == 0 {
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
