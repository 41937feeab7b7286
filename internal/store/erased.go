package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrErased reports that a part belongs to a call that was erased after the part had begun. It must not be stored again.
var ErrErased = errors.New("the call was erased")

// Erasure describes the erasure of a call.
type Erasure struct {
	Call     string
	Who, Why string // for the audit
	At       time.Time
	Node     string // that erases it; "" for none
	// Unreached are nodes that are gone, and may still have audio of the call. They delete it when they are back.
	Unreached []string
}

// Erase removes all data of an ended call except the audit, which records who erased it and why, and leaves a tombstone. Its
// audio must be deleted before, except on the unreached nodes. Checkpoint and Scrub remove the copies in the files of SQLite.
func (s *Store) Erase(ctx context.Context, e Erasure) error {
	s.unwritten.Store(true)
	return s.InTx(ctx, func(t *Tx) error {
		c, err := t.LockCall(ctx, e.Call)
		if err != nil {
			return err
		}
		if c.State == CallLive {
			return fmt.Errorf("%w: call %s is live", ErrConflict, e.Call)
		}
		if err := t.leaveSpool(ctx, e); err != nil {
			return err
		}
		unreached, err := t.leaveAudio(ctx, e)
		if err != nil {
			return err
		}
		left, err := t.audioLeft(ctx, e.Call)
		if err != nil {
			return err
		}
		if left > 0 {
			return fmt.Errorf("%w: %d segments of call %s have audio or are not analysed yet", ErrConflict, left, e.Call)
		}
		if err := t.deleteCall(ctx, e.Call); err != nil {
			return fmt.Errorf("erase call %s: %w", e.Call, err)
		}
		if err := t.bury(ctx, e.Call, e.At); err != nil {
			return err
		}
		detail := Detail{"why": e.Why}
		if len(unreached) > 0 {
			detail["unreached"] = unreached
		}
		return t.Audit(ctx, Line{
			At:     e.At,
			Actor:  e.Who,
			What:   AuditErased,
			Call:   e.Call,
			Detail: detail,
		})
	})
}

// deleteCall deletes the rows of a call, also those of the job queue.
func (t *Tx) deleteCall(ctx context.Context, call string) error {
	for _, q := range []string{
		"DELETE FROM webhook_delivery WHERE message_id IN (SELECT id FROM webhook_message WHERE call_id = $1)",
		"DELETE FROM webhook_message WHERE call_id = $1",
		"DELETE FROM review WHERE call_id = $1",
		"DELETE FROM disposition WHERE call_id = $1",
		"DELETE FROM decision WHERE call_id = $1",
		"DELETE FROM river_job WHERE state <> 'running' AND id IN (SELECT alarm FROM segment WHERE call_id = $1 AND alarm > 0)",
		"DELETE FROM segment WHERE call_id = $1",
		"DELETE FROM leg WHERE call_id = $1",
		"DELETE FROM part WHERE call_id = $1",
		"DELETE FROM call WHERE id = $1",
	} {
		if _, err := t.exec(ctx, q, call); err != nil {
			return err
		}
	}
	return t.unclean(ctx)
}

// bury leaves a tombstone. The latest erasure of a call id counts.
func (t *Tx) bury(ctx context.Context, call string, at time.Time) error {
	if _, err := t.exec(
		ctx,
		`INSERT INTO erased (call_id, erased_ms) VALUES ($1, $2) ON CONFLICT (call_id) DO UPDATE SET erased_ms = excluded.erased_ms
		WHERE excluded.erased_ms > erased.erased_ms`,
		call,
		millis(at),
	); err != nil {
		return fmt.Errorf("leave a tombstone of call %s: %w", call, err)
	}
	return nil
}

// buryAudited leaves the tombstones of all audited erasures, which exports of earlier versions do not have.
func (t *Tx) buryAudited(ctx context.Context) error {
	if _, err := t.exec(
		ctx,
		`INSERT INTO erased (call_id, erased_ms) SELECT call_id, max(at_ms) FROM audit WHERE what = $1 GROUP BY call_id
		ON CONFLICT (call_id) DO NOTHING`,
		AuditErased,
	); err != nil {
		return fmt.Errorf("leave tombstones of erased calls: %w", err)
	}
	return nil
}

// leaveAudio takes the audio of a call on unreached nodes out of its segments, and keeps its keys for them. It returns the
// nodes that have some.
func (t *Tx) leaveAudio(ctx context.Context, e Erasure) (nodes []string, err error) {
	for _, node := range e.Unreached {
		n, err := t.exec(
			ctx,
			`INSERT INTO erased_audio (segment_id, call_id, node, audio_key, erased_ms)
			SELECT id, call_id, audio_node, audio_key, $3 FROM segment WHERE call_id = $1 AND audio_node = $2 AND audio_key <> ''
			ON CONFLICT (segment_id) DO NOTHING`,
			e.Call,
			node,
			millis(e.At),
		)
		if err != nil {
			return nil, fmt.Errorf("note the audio of call %s on node %s: %w", e.Call, node, err)
		}
		if n == 0 {
			continue
		}
		nodes = append(nodes, node)
		if _, err := t.exec(ctx, "UPDATE segment SET audio_key = '' WHERE call_id = $1 AND audio_node = $2", e.Call, node); err != nil {
			return nil, fmt.Errorf("note the audio of call %s on node %s: %w", e.Call, node, err)
		}
	}
	slices.Sort(nodes)
	return nodes, nil
}

// leaveSpool notes, for the other nodes, the legs of a call that they have recorded: their spools may have damaged entries of it.
func (t *Tx) leaveSpool(ctx context.Context, e Erasure) error {
	if !t.s.several {
		return nil
	}
	for _, legs := range []string{
		`SELECT call_id, node, part, leg, (SELECT count(*) FROM segment g
			WHERE g.call_id = leg.call_id AND g.part = leg.part AND g.node = leg.node AND g.leg = leg.leg), CAST($3 AS BIGINT)
		FROM leg WHERE call_id = $1 AND node <> $2`,
		"SELECT CAST($1 AS TEXT), id, 0, '', 0, CAST($3 AS BIGINT) FROM node WHERE id <> $2", // whose legs may not have been stored
	} {
		if _, err := t.exec(
			ctx,
			"INSERT INTO erased_spool (call_id, node, part, leg, segments, erased_ms) "+legs+" ON CONFLICT (node, call_id, part, leg) DO NOTHING",
			e.Call,
			e.Node,
			millis(e.At),
		); err != nil {
			return fmt.Errorf("note the legs of call %s on other nodes: %w", e.Call, err)
		}
	}
	return nil
}

// ErasedLeg is a leg of an erased call, with the number of its segments.
type ErasedLeg struct {
	PartKey
	Leg      string
	Segments int
}

// ErasedLegs returns the legs of erased calls that a node has recorded and another one has erased, by calls.
func (s *Store) ErasedLegs(ctx context.Context, node string, limit int) (list []ErasedLeg, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT call_id, node, part, leg, segments FROM erased_spool WHERE node = $1 ORDER BY call_id, part, leg LIMIT $2`,
		node,
		limit,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var l ErasedLeg
		err := r.Scan(&l.Call, &l.Node, &l.Part, &l.Leg, &l.Segments)
		list = append(list, l)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list legs of erased calls: %w", err)
	}
	return list, nil
}

// ErasedLegDiscarded records that the spool of its node has nothing left of a leg of an erased call.
func (s *Store) ErasedLegDiscarded(ctx context.Context, l ErasedLeg) error {
	return s.InTx(ctx, func(t *Tx) error {
		_, err := t.exec(
			ctx,
			"DELETE FROM erased_spool WHERE node = $1 AND call_id = $2 AND part = $3 AND leg = $4",
			l.Node,
			l.Call,
			l.Part,
			l.Leg,
		)
		return err
	})
}

// Erased reports whether a part must not be stored, because its call was erased after it had begun.
func (s *Store) Erased(ctx context.Context, k PartKey) (bool, error) { return erased(ctx, s.reader, k) }

func erased(ctx context.Context, q querier, k PartKey) (bool, error) {
	var at int64
	err := q.QueryRowContext(ctx, "SELECT erased_ms FROM erased WHERE call_id = $1", k.Call).Scan(&at)
	if errors.Is(err, sql.ErrNoRows) || err == nil && k.Part > at {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for a tombstone of call %s: %w", k.Call, err)
	}
	// A part that an earlier version has stored again goes on, so that its call ends and can be erased.
	var stored int
	if err := q.QueryRowContext(
		ctx,
		"SELECT count(*) FROM part WHERE call_id = $1 AND part = $2 AND node = $3",
		k.Call,
		k.Part,
		k.Node,
	).Scan(&stored); err != nil {
		return false, fmt.Errorf("read parts of call %s: %w", k.Call, err)
	}
	return stored == 0, nil
}

// notErased returns ErrErased for a part of an erased call. The call must be locked, so that no erasure is concurrent.
func (t *Tx) notErased(ctx context.Context, k PartKey) error {
	is, err := erased(ctx, t.tx, k)
	if err == nil && is {
		err = fmt.Errorf("%w: %s", ErrErased, k.Call)
	}
	return err
}

// ErasedAudio is audio of an erased call that its node has to delete.
type ErasedAudio struct {
	Segment, Call, Node, Key string
}

// ErasedAudioOf returns the audio of erased calls that the nodes have to delete, of all nodes without names, from after a
// segment on.
func (s *Store) ErasedAudioOf(ctx context.Context, nodes []string, after string, limit int) (list []ErasedAudio, err error) {
	places, args := marks(nodes)
	where := ""
	if len(nodes) > 0 {
		where = "node IN (" + places + ") AND "
	}
	query := "SELECT segment_id, call_id, node, audio_key FROM erased_audio WHERE " + where +
		fmt.Sprintf("segment_id > $%d ORDER BY segment_id LIMIT $%d", len(nodes)+1, len(nodes)+2)
	rows, err := s.reader.QueryContext(ctx, query, append(args, after, limit)...)
	err = each(rows, err, func(r *sql.Rows) error {
		var a ErasedAudio
		err := r.Scan(&a.Segment, &a.Call, &a.Node, &a.Key)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list audio of erased calls: %w", err)
	}
	return list, nil
}

// ErasedAudioDeleted records that audio of an erased call was deleted late.
func (s *Store) ErasedAudioDeleted(ctx context.Context, a ErasedAudio, now time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		n, err := t.exec(ctx, "DELETE FROM erased_audio WHERE segment_id = $1", a.Segment)
		if err != nil || n == 0 {
			return err
		}
		return t.Audit(ctx, Line{
			At:      now,
			Actor:   "machine",
			What:    AuditExpired,
			Call:    a.Call,
			Segment: a.Segment,
			Detail:  Detail{"erased": true, "node": a.Node},
		})
	})
}
