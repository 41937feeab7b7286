package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// AudioNode is a name of a node that has audio which no other node can read.
type AudioNode struct {
	Node     string
	Segments int
	// Silent is the time since the last sign of life of the node, by the clock of the database.
	Silent time.Duration
}

// AudioNodes returns the nodes that have audio of their own. A node without a row was alive when it recorded its last segment.
func (s *Store) AudioNodes(ctx context.Context) (list []AudioNode, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		`SELECT a.node, a.segments, (`+s.nowMillis(1)+`) - coalesce(n.seen_ms, a.latest) FROM (
			SELECT node, CAST(sum(segments) AS BIGINT) AS segments, max(latest) AS latest FROM (
				SELECT audio_node AS node, count(*) AS segments, max(recorded_ms) AS latest FROM segment
				WHERE audio_key <> '' AND audio_node <> '' GROUP BY audio_node
				UNION ALL
				SELECT node, 0, 0 FROM erased_audio GROUP BY node
			) AS both_kinds GROUP BY node
		) AS a LEFT JOIN node n ON n.id = a.node ORDER BY a.node`,
		millis(s.Now()),
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var a AudioNode
		var silent int64
		err := r.Scan(&a.Node, &a.Segments, &silent)
		a.Silent = duration(silent)
		list = append(list, a)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes with audio: %w", err)
	}
	return list, nil
}

// AudioOf returns segments whose audio only a node has, in the order of their ids, from after a segment on.
func (s *Store) AudioOf(ctx context.Context, node, after string, limit int) (list []SegmentRow, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT "+segmentColumns+" FROM segment WHERE audio_node = $1 AND audio_key <> '' AND id > $2 ORDER BY id LIMIT $3",
		node,
		after,
		limit,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		g, err := scanSegment(r)
		list = append(list, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list audio of node %s: %w", node, err)
	}
	return list, nil
}

// AdoptAudio makes another node the one that has the audio of segments, and moves their jobs to its queue. It returns the
// number of segments. Those that have changed hands meanwhile are left out.
func (s *Store) AdoptAudio(ctx context.Context, segments []string, from, to string) (adopted int64, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		for _, id := range segments {
			n, err := t.exec(ctx, "UPDATE segment SET audio_node = $3 WHERE id = $1 AND audio_node = $2 AND audio_key <> ''", id, from, to)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			adopted++
			if _, err := t.exec(
				ctx,
				"UPDATE river_job SET queue = $2 WHERE id = (SELECT alarm FROM segment WHERE id = $1 AND state IN ('recorded', 'submitted'))",
				id,
				Queue(to),
			); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("adopt audio of node %s: %w", from, err)
	}
	return adopted, nil
}
