package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// nowMillis returns an expression for the time shared by all nodes: the clock of a PostgreSQL database, otherwise that
// of the machine, passed as the argument with this number.
func (s *Store) nowMillis(arg int) string {
	if s.postgres {
		return fmt.Sprintf("CASE WHEN $%d::bigint > 0 THEN (extract(epoch FROM clock_timestamp()) * 1000)::bigint END", arg)
	}
	return fmt.Sprintf("$%d", arg)
}

// Heartbeat records that a node is alive, and the version of the policy that it decides by.
func (s *Store) Heartbeat(ctx context.Context, node string, policyVersion int64) error {
	now := s.nowMillis(2)
	if _, err := s.db.ExecContext(
		ctx,
		`INSERT INTO node (id, started_ms, seen_ms, policy_version) VALUES ($1, `+now+`, `+now+`, $3)
		ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms, policy_version = excluded.policy_version`,
		node,
		millis(time.Now()),
		policyVersion,
	); err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

// PolicyInForce is a policy that nodes decide by.
type PolicyInForce struct {
	Version int64
	Body    []byte   // as given to UsePolicy
	Nodes   []string // sorted
}

// LivePolicies returns the policies of the nodes with a heartbeat within this time, in the order of their versions. A node
// whose policy is not known, because its version of the program does not report one, is left out.
func (s *Store) LivePolicies(ctx context.Context, within time.Duration) (list []PolicyInForce, err error) {
	rows, err := s.db.QueryContext(
		ctx,
		"SELECT p.version, p.body, n.id FROM node n JOIN policy p ON p.version = n.policy_version "+
			"WHERE n.seen_ms >= ("+s.nowMillis(1)+") - $2 ORDER BY p.version, n.id",
		millis(time.Now()),
		within.Milliseconds(),
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var version int64
		var body, node string
		if err := r.Scan(&version, &body, &node); err != nil {
			return err
		}
		if n := len(list); n == 0 || list[n-1].Version != version {
			list = append(list, PolicyInForce{Version: version, Body: []byte(body)})
		}
		last := &list[len(list)-1]
		last.Nodes = append(last.Nodes, node)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list policies in force: %w", err)
	}
	return list, nil
}

// Silent returns the nodes without a heartbeat for this long.
func (s *Store) Silent(ctx context.Context, since time.Duration) (nodes []string, err error) {
	rows, err := s.db.QueryContext(
		ctx,
		"SELECT id FROM node WHERE seen_ms < ("+s.nowMillis(1)+") - $2",
		millis(time.Now()),
		since.Milliseconds(),
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var id string
		defer func() { nodes = append(nodes, id) }()
		return r.Scan(&id)
	})
	if err != nil {
		return nil, fmt.Errorf("list silent nodes: %w", err)
	}
	return nodes, nil
}

// OpenParts returns the unfinished parts of a node, or of all nodes if node is "".
func (s *Store) OpenParts(ctx context.Context, node string) (list []PartKey, err error) {
	query, args := "SELECT call_id, part, node FROM part WHERE ended_ms = 0", []any(nil)
	if node != "" {
		query, args = query+" AND node = $1", []any{node}
	}
	rows, err := s.db.QueryContext(ctx, query, args...)
	err = each(rows, err, func(r *sql.Rows) error {
		var k PartKey
		defer func() { list = append(list, k) }()
		return r.Scan(&k.Call, &k.Part, &k.Node)
	})
	if err != nil {
		return nil, fmt.Errorf("list open parts: %w", err)
	}
	return list, nil
}
