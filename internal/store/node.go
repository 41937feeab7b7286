package store

import (
	"context"
	"database/sql"
	"errors"
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

// Heartbeat records that a node is alive, and the version of the policy that it decides by. It reads the clock of the
// database. After Join it fails with ErrFenced if another node has taken over.
func (s *Store) Heartbeat(ctx context.Context, node string, policyVersion int64) (err error) {
	defer func() { s.suspect(err) }()
	us := "0"
	if s.postgres {
		us = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
	}
	now := s.nowMillis(2)
	query := "INSERT INTO node (id, started_ms, seen_ms, policy_version) VALUES ($1, " + now + ", " + now + `, $3)
		ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms, policy_version = excluded.policy_version
		RETURNING ` + us
	args := []any{node, millis(s.Now()), policyVersion}
	if l := s.lease.Load(); l != nil && l.node == node {
		query = "UPDATE node SET seen_ms = " + now + ", policy_version = $3 " +
			"WHERE id = $1 AND instance = $4 AND generation = $5 RETURNING " + us
		args = append(args, l.instance, l.generation)
	}
	var server int64
	start := time.Now()
	err = s.db.QueryRowContext(ctx, query, args...).Scan(&server)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("node %s: %w", node, ErrFenced)
	}
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	if s.postgres {
		s.serverSaid(server, start)
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
		millis(s.Now()),
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

// NodeBeat is the last heartbeat of a node.
type NodeBeat struct {
	Node string
	Seen int64         // changes with each heartbeat
	Age  time.Duration // by the clock of the database
}

// Beats returns the last heartbeats of all nodes.
func (s *Store) Beats(ctx context.Context) (list []NodeBeat, err error) {
	rows, err := s.db.QueryContext(ctx, "SELECT id, seen_ms, ("+s.nowMillis(1)+") - seen_ms FROM node", millis(s.Now()))
	err = each(rows, err, func(r *sql.Rows) error {
		var b NodeBeat
		var age int64
		err := r.Scan(&b.Node, &b.Seen, &age)
		b.Age = duration(age)
		list = append(list, b)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list heartbeats: %w", err)
	}
	return list, nil
}

// Working returns the nodes that have open parts, running jobs or deliveries under way.
func (s *Store) Working(ctx context.Context) (nodes map[string]bool, err error) {
	nodes = map[string]bool{}
	query := "SELECT DISTINCT node FROM part WHERE ended_ms = 0 UNION " +
		"SELECT DISTINCT claimed_by FROM webhook_delivery WHERE state = 'pending' AND claimed_by <> ''"
	switch {
	case s.postgres:
		query += " UNION SELECT DISTINCT attempted_by[array_upper(attempted_by, 1)] FROM river_job WHERE state = 'running'"
	case s.several:
		query += " UNION SELECT DISTINCT json_extract(attempted_by, '$[#-1]') FROM river_job WHERE state = 'running'"
	}
	rows, err := s.db.QueryContext(ctx, query)
	err = each(rows, err, func(r *sql.Rows) error {
		var id sql.NullString
		err := r.Scan(&id)
		nodes[id.String] = true
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list nodes at work: %w", err)
	}
	return nodes, nil
}

// keepNodes is the time for which the row of a silent node is kept.
const keepNodes = time.Hour

// RemoveNode deletes the row of a silent node that has no open part and no audio that only it has: the row tells since when
// it is gone. It reports whether it did.
func (s *Store) RemoveNode(ctx context.Context, b NodeBeat) (done bool, err error) {
	if b.Age < keepNodes {
		return false, nil
	}
	err = s.InTx(ctx, func(t *Tx) error {
		n, err := t.exec(
			ctx,
			`DELETE FROM node WHERE id = $1 AND seen_ms = $2
			AND NOT EXISTS (SELECT 1 FROM part p WHERE p.node = node.id AND p.ended_ms = 0)
			AND NOT EXISTS (SELECT 1 FROM segment s WHERE s.audio_node = node.id AND (s.audio_key <> '' OR s.state IN ('recorded', 'submitted')))
			AND NOT EXISTS (SELECT 1 FROM erased_audio a WHERE a.node = node.id)`,
			b.Node,
			b.Seen,
		)
		done = n > 0
		if err != nil || !done {
			return err
		}
		_, err = t.exec(ctx, "DELETE FROM erased_spool WHERE node = $1", b.Node)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("remove node %s: %w", b.Node, err)
	}
	return done, nil
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
