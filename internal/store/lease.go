package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"callscreen/internal/wait"
)

// Errors about the name of a node.
var (
	// ErrFenced means that another node took this one for dead and continues its work. Nothing was written.
	ErrFenced = errors.New("this node was taken for dead, another node continues its work")
	// ErrNodeInUse means that another process uses the name of this node.
	ErrNodeInUse = errors.New("another process uses the name of this node")
)

const (
	// quietFor is the time without a heartbeat after which the process that had the name of a node is gone.
	quietFor = 12 * time.Second
	// recentBeat is the age of a heartbeat whose sender may be alive.
	recentBeat = 20 * time.Second
)

// lease is the right of this process to write as a node.
type lease struct {
	node, origin, instance string
	generation             int64
}

// Join takes the name of a node for this process. origin identifies its data_dir, which a lock keeps for one process: the
// same origin is a restart, another one with heartbeats is a second process with a copy of the name, and gets ErrNodeInUse.
// Later writes of this store fail with ErrFenced once another node has taken over. Join releases the deliveries that an
// earlier process of the node claimed.
func (s *Store) Join(ctx context.Context, node, origin string) error {
	if !s.several { // the lock of data_dir permits one process, so all claims are of earlier ones
		if err := s.resumeClock(ctx, node); err != nil {
			return err
		}
		s.node.Store(&node)
		return s.InTx(ctx, func(t *Tx) error { return t.releaseDeliveries(ctx, "") })
	}
	l := &lease{node: node, origin: origin, instance: rand.Text()}
	if old := s.lease.Load(); old != nil {
		l.instance = old.instance
	}
	watched := int64(-1)
	for start := time.Now(); ; {
		holder, seen, err := s.claim(ctx, l, watched, time.Since(start) >= quietFor)
		if err != nil {
			return err
		}
		if holder == "" {
			s.node.Store(&node)
			s.lease.Store(l)
			return nil
		}
		if watched >= 0 && seen != watched {
			return fmt.Errorf(
				"%w: %s, at %s (hint: delete the file node in data_dir if data_dir was copied; a new name is chosen)",
				ErrNodeInUse,
				node,
				holder,
			)
		}
		watched = seen
		if err := wait.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
}

// resumeClock gives the clock the time of the last heartbeat of a node: a clock that is ahead at a restart must not make its records old.
func (s *Store) resumeClock(ctx context.Context, node string) error {
	var seen int64
	err := s.reader.QueryRowContext(ctx, "SELECT seen_ms FROM node WHERE id = $1", node).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the last heartbeat of node %s: %w", node, err)
	}
	if s.node.Load() == nil && seen > 0 {
		s.shared.Resume(fromMillis(seen))
	}
	return nil
}

// claim takes the row of a node unless another process may hold it, whose origin and last heartbeat it returns then. It
// takes the row in any case if that process was quiet: its last heartbeat is still the watched one.
func (s *Store) claim(ctx context.Context, l *lease, watched int64, quiet bool) (holder string, seen int64, err error) {
	err = s.inTx(ctx, func(t *Tx) error {
		holder = ""
		if _, err := t.exec(
			ctx,
			"INSERT INTO node (id, started_ms, seen_ms) VALUES ($1, "+s.nowMillis(2)+", 0) ON CONFLICT (id) DO NOTHING",
			l.node,
			millis(s.Now()),
		); err != nil {
			return err
		}
		var instance, origin string
		var age, generation int64
		if err := t.tx.QueryRowContext(
			ctx,
			"SELECT instance, origin, seen_ms, generation, ("+s.nowMillis(2)+") - seen_ms FROM node WHERE id = $1"+s.forUpdate(),
			l.node,
			millis(s.Now()),
		).Scan(&instance, &origin, &seen, &generation, &age); err != nil {
			return err
		}
		free := instance == "" || instance == l.instance || origin == l.origin || age > recentBeat.Milliseconds()
		if !free && (!quiet || seen != watched) {
			holder = origin
			return nil
		}
		l.generation = generation + 1
		if _, err := t.exec(
			ctx,
			"UPDATE node SET instance = $2, origin = $3, generation = $4, seen_ms = "+s.nowMillis(5)+" WHERE id = $1",
			l.node,
			l.instance,
			l.origin,
			l.generation,
			millis(s.Now()),
		); err != nil {
			return err
		}
		return t.releaseDeliveries(ctx, l.node)
	})
	if err != nil {
		return "", 0, fmt.Errorf("join as node %s: %w", l.node, err)
	}
	return holder, seen, nil
}

// Rejoin takes the name of this node again after ErrFenced, with a new generation. Work that began under the old one and has a
// context of InTenure stays fenced.
func (s *Store) Rejoin(ctx context.Context) error {
	l := s.lease.Load()
	if l == nil {
		return nil
	}
	return s.Join(ctx, l.node, l.origin)
}

// Leave gives the name of this node back, so that its data_dir can move to another machine at once, and the deliveries that a
// stop cut off, so that other nodes make them.
func (s *Store) Leave(ctx context.Context) error {
	l := s.lease.Swap(nil)
	if l == nil {
		return nil
	}
	if err := s.inTx(ctx, func(t *Tx) error {
		n, err := t.exec(
			ctx,
			"UPDATE node SET instance = '' WHERE id = $1 AND instance = $2 AND generation = $3",
			l.node,
			l.instance,
			l.generation,
		)
		if err != nil || n == 0 {
			return err
		}
		return t.releaseDeliveries(ctx, l.node)
	}); err != nil {
		return fmt.Errorf("leave as node %s: %w", l.node, err)
	}
	return nil
}

// nodeName returns the name of the node of this process, "" before Join.
func (s *Store) nodeName() string {
	if n := s.node.Load(); n != nil {
		return *n
	}
	return ""
}

type tenure struct{}

// InTenure returns a context whose transactions fail with ErrFenced after another node has taken over, also when this node has
// joined again: the other node may be at the same work.
func (s *Store) InTenure(ctx context.Context) context.Context {
	return context.WithValue(ctx, tenure{}, s.lease.Load())
}

// InAnyTenure undoes InTenure, for what is true whichever node does the work.
func InAnyTenure(ctx context.Context) context.Context { return context.WithValue(ctx, tenure{}, nil) }

// fence returns ErrFenced unless this process still holds the name of its node. The lock on the row makes a take-over wait
// for the end of the transaction, and does not hinder heartbeats. It is the one check of every write of a node: InTx calls it.
func (t *Tx) fence(ctx context.Context) error {
	l, ok := ctx.Value(tenure{}).(*lease)
	if !ok {
		l = t.s.lease.Load()
	}
	if l == nil {
		return nil
	}
	var one int
	err := t.tx.QueryRowContext(
		ctx,
		"SELECT 1 FROM node WHERE id = $1 AND instance = $2 AND generation = $3"+t.s.forKeyShare(),
		l.node,
		l.instance,
		l.generation,
	).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("node %s: %w", l.node, ErrFenced)
	}
	return err
}

// Silent reports whether a node has sent no heartbeat since the given one. Until the transaction ends the node can neither send
// one nor join.
func (t *Tx) Silent(ctx context.Context, b NodeBeat) (bool, error) {
	var seen int64
	err := t.tx.QueryRowContext(ctx, "SELECT seen_ms FROM node WHERE id = $1"+t.s.forUpdate(), b.Node).Scan(&seen)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the heartbeat of node %s: %w", b.Node, err)
	}
	return seen == b.Seen, nil
}

// TakeOver gives the jobs and deliveries of a silent node back and fences the node, unless it has sent a heartbeat since the
// given one. It returns the number of jobs, and whether the node was taken over.
func (s *Store) TakeOver(ctx context.Context, b NodeBeat) (jobs int64, done bool, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		silent, err := t.Silent(ctx, b)
		if err != nil || !silent {
			return err
		}
		if _, err := t.exec(ctx, "UPDATE node SET generation = generation + 1 WHERE id = $1", b.Node); err != nil {
			return err
		}
		if err := t.releaseDeliveries(ctx, b.Node); err != nil {
			return err
		}
		done = true
		jobs, err = t.release(ctx, b.Node)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take over from node %s: %w", b.Node, err)
	}
	return jobs, done, nil
}
