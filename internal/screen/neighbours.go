package screen

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"callscreen/internal/store"
)

// watch holds the last heartbeat that this node has seen of another one.
type watch struct {
	seen  int64
	since time.Time // when it was first seen, with a monotonic reading
}

const (
	// unchanged is the time for which a node must have been watched before the clock of the database is believed about it: the
	// clock may have been set.
	unchanged = 3 * heartbeatEvery
	// removedAtOnce is the number of node rows that one sweep removes.
	removedAtOnce = 500
)

// neighbours watches the heartbeats of the other nodes.
type neighbours struct {
	mu      sync.Mutex
	watched map[string]watch
}

// silent returns those of the nodes whose heartbeats have stopped.
func (n *neighbours) silent(all []store.NodeBeat, self string, now time.Time) (list []store.NodeBeat) {
	n.mu.Lock()
	defer n.mu.Unlock()
	still := make(map[string]watch, len(all))
	for _, b := range all {
		w, known := n.watched[b.Node]
		if !known || w.seen != b.Seen {
			w = watch{seen: b.Seen, since: now}
		}
		still[b.Node] = w
		quiet := now.Sub(w.since)
		if b.Node != self && (quiet >= silentAfter || quiet >= unchanged && b.Age >= silentAfter) {
			list = append(list, b)
		}
	}
	n.watched = still
	return list
}

// LookAfter takes over the jobs and parts of dead nodes. Run calls it every few seconds.
func (e *Maintenance) LookAfter(ctx context.Context) error {
	if !e.cfg.Store.Shared() {
		// No other process records into this database, so all open parts are of earlier processes or imported.
		return e.endParts(ctx, store.NodeBeat{}, "interrupted")
	}
	all, err := e.cfg.Store.Beats(ctx)
	if err != nil {
		return err
	}
	silent := e.others.silent(all, e.cfg.Node, time.Now())
	if !e.cfg.Lease.Held() {
		return nil // others may have taken this node for dead
	}
	// Open parts of this node that it does not record: their end was lost with the spool.
	if err := e.endParts(ctx, store.NodeBeat{Node: e.cfg.Node}, "interrupted"); err != nil || len(silent) == 0 {
		return err
	}
	working, err := e.cfg.Store.Working(ctx)
	if err != nil {
		return err
	}
	for _, b := range silent {
		if !working[b.Node] {
			continue
		}
		jobs, done, err := e.cfg.Store.TakeOver(ctx, b)
		if err != nil {
			return err
		}
		if !done {
			continue // it is back
		}
		if jobs > 0 {
			e.cfg.Log.Warn("node silent, jobs taken over", "node", b.Node, "jobs", jobs)
		}
		if err := e.endParts(ctx, b, "node_lost"); err != nil {
			return err
		}
	}
	return nil
}

// endParts ends the open parts of a node, or of all nodes if its name is "", except those that this process answers for. It stops if
// a node that was lost sends a heartbeat again: that node continues its calls itself.
func (e *Maintenance) endParts(ctx context.Context, of store.NodeBeat, how string) error {
	own := map[store.PartKey]bool{}
	maps.Copy(own, e.cfg.OwnParts()) // before, for those that end meanwhile
	open, err := e.cfg.Store.OpenParts(ctx, of.Node)
	if err != nil {
		return err
	}
	maps.Copy(own, e.cfg.OwnParts()) // and after, for those that begin
	for _, k := range open {
		if own[k] {
			continue
		}
		warning, may := interruptedWarning, func(*store.Tx) (bool, error) { return true, nil }
		if how == "node_lost" {
			warning = "the recording node is silent; the rest of its spool is delivered when it is back"
			may = func(tx *store.Tx) (bool, error) { return tx.Silent(ctx, of) }
		}
		p := store.Part{PartKey: k, EndedAt: e.cfg.Now(), How: how, Warnings: []string{warning}}
		done, err := e.cfg.Decider.progress(ctx, p, may)
		switch {
		case err != nil && !errors.Is(err, store.ErrErased):
			return err
		case err == nil && !done: // the node is back
			return nil
		case err != nil:
			continue
		}
		e.cfg.Log.Warn("interrupted call ended", "call", k.Call, "node", k.Node, "how", how)
	}
	return nil
}

// removeNodes removes the rows of nodes that are gone and have left nothing behind.
func (e *Maintenance) removeNodes(ctx context.Context) error {
	if !e.cfg.Store.Shared() {
		return nil
	}
	all, err := e.cfg.Store.Beats(ctx)
	if err != nil {
		return err
	}
	removed := 0
	for _, b := range e.others.silent(all, e.cfg.Node, time.Now()) {
		done, err := e.cfg.Store.RemoveNode(ctx, b)
		if err != nil {
			return err
		}
		if done {
			removed++
		}
		if removed == removedAtOnce {
			break
		}
	}
	if removed > 0 {
		e.cfg.Log.Info("rows of gone nodes removed", "nodes", removed)
	}
	return nil
}

// fenced continues after another node took this one for dead: requests have ended, and the node gets a new generation.
func (e *Maintenance) fenced(ctx context.Context) error {
	e.cfg.Lease.end()
	if !e.cfg.Lease.idle() {
		return errors.New("requests of before the take-over are still ending")
	}
	if err := e.cfg.Store.Rejoin(ctx); err != nil {
		return err
	}
	e.cfg.Log.Warn("this node was taken for dead, it works again", "node", e.cfg.Node)
	return nil
}
