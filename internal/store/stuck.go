package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Kinds of data that retention or an erasure could not delete.
const (
	StuckAudio       = "audio"        // the audio store refuses to delete it
	StuckLostNode    = "lost_node"    // only a node that is gone can delete it
	StuckErasedAudio = "erased_audio" // of erased calls, on a node that is gone
	StuckWebhook     = "webhook"      // messages to endpoints that are not configured
)

// stuckAfter is the time after which data that should be gone, or a node that should be alive, is reported.
const stuckAfter = time.Hour

// Stuck is data that retention or an erasure could not delete.
type Stuck struct {
	Kind  string
	Where string // node or endpoint, or ""
	Count int    // calls, segments of erased calls, or messages
	Call  string // one of the calls, or ""
}

// Stuck returns the data that should be gone and is not. endpoints are the configured webhooks.
func (s *Store) Stuck(ctx context.Context, endpoints []string, now time.Time) (list []Stuck, err error) {
	nodes, err := s.AudioNodes(ctx)
	if err != nil {
		return nil, err
	}
	gone := map[string]bool{}
	for _, n := range nodes {
		gone[n.Node] = s.Shared() && n.Silent >= stuckAfter
	}
	late := millis(now.Add(-stuckAfter))
	places, args := marks(endpoints)
	configured := ""
	if len(endpoints) > 0 {
		configured = " AND d.endpoint NOT IN (" + places + ")"
	}
	for _, q := range []struct {
		kind, query string
		args        []any
	}{
		{StuckAudio, `SELECT g.audio_node, count(DISTINCT call.id), min(call.id) FROM call JOIN segment g ON g.call_id = call.id
			WHERE audio_until_ms IS NOT NULL AND audio_until_ms <= $1 AND g.audio_key <> '' AND call.` + audioUnneeded +
			" GROUP BY g.audio_node ORDER BY g.audio_node", []any{late}},
		{StuckErasedAudio, "SELECT node, count(*), min(call_id) FROM erased_audio GROUP BY node ORDER BY node", nil},
		{StuckWebhook, fmt.Sprintf(`SELECT d.endpoint, count(*), min(m.call_id) FROM webhook_delivery d
			JOIN webhook_message m ON m.id = d.message_id WHERE d.state = 'pending' AND d.next_ms <= $%d%s
			GROUP BY d.endpoint ORDER BY d.endpoint`, len(args)+1, configured), append(args, late)}, //nolint:gosec // placeholders
	} {
		rows, err := s.reader.QueryContext(ctx, q.query, q.args...)
		err = each(rows, err, func(r *sql.Rows) error {
			v := Stuck{Kind: q.kind}
			err := r.Scan(&v.Where, &v.Count, &v.Call)
			if v.Kind == StuckAudio && gone[v.Where] {
				v.Kind = StuckLostNode
			}
			list = append(list, v)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("list what retention could not delete: %w", err)
		}
	}
	return list, nil
}

// GiveUpDeliveries turns deliveries to endpoints that are not configured into dead letters, if no node has tried them since a
// time. It returns their numbers by endpoint. A node that still serves an endpoint tries its deliveries when they are due.
func (s *Store) GiveUpDeliveries(
	ctx context.Context, endpoints []string, due, now time.Time, reason string,
) (given map[string]int64, err error) {
	places, args := marks(endpoints)
	configured := ""
	if len(endpoints) > 0 {
		configured = " AND endpoint NOT IN (" + places + ")"
	}
	var names []string
	rows, err := s.reader.QueryContext(
		ctx,
		fmt.Sprintf("SELECT DISTINCT endpoint FROM webhook_delivery WHERE state = 'pending' AND next_ms <= $%d%s ORDER BY endpoint",
			len(args)+1, configured), //nolint:gosec // placeholders
		append(args, millis(due))...)
	err = each(rows, err, func(r *sql.Rows) error {
		var name string
		defer func() { names = append(names, name) }()
		return r.Scan(&name)
	})
	if err != nil {
		return nil, fmt.Errorf("list deliveries to endpoints that are not configured: %w", err)
	}
	given = map[string]int64{}
	for _, name := range names {
		if err := s.InTx(ctx, func(t *Tx) error {
			n, err := t.exec(
				ctx,
				"UPDATE webhook_delivery SET state = 'dead', settled_ms = $3, last_error = $4 "+
					"WHERE endpoint = $1 AND state = 'pending' AND next_ms <= $2",
				name,
				millis(due),
				millis(now),
				reason,
			)
			given[name] = n
			return err
		}); err != nil {
			return nil, fmt.Errorf("give up deliveries to endpoint %s: %w", name, err)
		}
	}
	return given, nil
}
