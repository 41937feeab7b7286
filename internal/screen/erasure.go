package screen

import (
	"context"
	"fmt"
	"time"

	"callscreen/internal/store"
)

// goneAfter is the time without a sign of life after which a call is erased without the audio that only this node has. The
// node deletes it when it is back.
const goneAfter = 7 * 24 * time.Hour

// Erase removes all data of an ended call, audio first, and leaves an audit line and a tombstone.
func (e *Maintenance) Erase(ctx context.Context, call, who, why string) error {
	gone, err := e.gone(ctx)
	if err != nil {
		return err
	}
	if err := e.erase(ctx, call, who, why, gone); err != nil {
		return err
	}
	e.cfg.Store.Checkpoint(ctx)
	return nil
}

func (e *Maintenance) erase(ctx context.Context, call, who, why string, gone []string) error {
	c, err := e.cfg.Store.Call(ctx, call)
	if err != nil {
		return err
	}
	segments, err := e.cfg.Store.Segments(ctx, call)
	if err != nil {
		return err
	}
	busy, open := c.State == store.CallLive, 0
	for k := range e.cfg.OwnParts() {
		busy = busy || k.Call == call
	}
	lost := map[string]bool{}
	for _, node := range gone {
		lost[node] = true
	}
	for _, g := range segments {
		if g.Busy() {
			open++
		}
		if g.AudioKey != "" && !e.has(g.AudioNode) && !lost[g.AudioNode] {
			return fmt.Errorf(
				"%w: only node %s can delete the audio of call %s (hint: send the request there; if the node is gone, it is possible "+
					"without it after 7 days)",
				store.ErrConflict,
				g.AudioNode,
				call,
			)
		}
	}
	switch {
	case busy:
		return fmt.Errorf("%w: call %s is in progress (hint: try again when it has ended)", store.ErrConflict, call)
	case open > 0:
		return fmt.Errorf("%w: %d segments of call %s are being analysed (hint: try again when they have a result, at the latest after "+
			"analysis.max_age)", store.ErrConflict, open, call)
	}
	if err := e.forgetAudio(ctx, call); err != nil {
		return err
	}
	if e.cfg.Leftovers != nil {
		parts, err := e.cfg.Store.PartsOf(ctx, call)
		if err != nil {
			return err
		}
		if err := e.cfg.Leftovers.DiscardLeftovers(call, parts, segments); err != nil {
			return err
		}
	}
	return e.cfg.Store.Erase(ctx, store.Erasure{
		Call:      call,
		Who:       who,
		Why:       why,
		At:        e.cfg.Now(),
		Node:      e.cfg.Node,
		Unreached: gone,
	})
}

// gone returns the other nodes that have audio of their own and gave no sign of life for long.
func (e *Maintenance) gone(ctx context.Context) (names []string, err error) {
	if !e.cfg.Store.Shared() {
		return nil, nil
	}
	nodes, err := e.cfg.Store.AudioNodes(ctx)
	for _, n := range nodes {
		if n.Node != e.cfg.Node && n.Silent >= goneAfter {
			names = append(names, n.Node)
		}
	}
	return names, err
}

// discardErased deletes what the spool of this node has left of calls that another node has erased.
func (e *Maintenance) discardErased(ctx context.Context) error {
	if e.cfg.Leftovers == nil || !e.cfg.Store.Shared() {
		return nil
	}
	const page = 1000
	list, err := e.cfg.Store.ErasedLegs(ctx, e.cfg.Node, page)
	if err != nil {
		return err
	}
	for _, l := range list {
		part := store.Part{PartKey: l.PartKey, Legs: []store.LegProgress{{PartKey: l.PartKey, Leg: l.Leg}}}
		last := store.SegmentRow{PartKey: l.PartKey, Leg: l.Leg, Seq: l.Segments - 1}
		if err := e.cfg.Leftovers.DiscardLeftovers(l.Call, []store.Part{part}, []store.SegmentRow{last}); err != nil {
			return err
		}
		if err := e.cfg.Store.ErasedLegDiscarded(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// deleteErased deletes the audio of calls that were erased while this node was gone.
func (e *Maintenance) deleteErased(ctx context.Context) error {
	return e.deleteErasedOf(ctx, e.cfg.Node, func(store.ErasedAudio) (bool, error) { return true, nil })
}

// deleteErasedOf deletes the audio of erased calls that a node should have, if this node has it.
func (e *Maintenance) deleteErasedOf(ctx context.Context, node string, here func(store.ErasedAudio) (bool, error)) error {
	const page = 100
	deleted := 0
	for after := ""; ; {
		list, err := e.cfg.Store.ErasedAudioOf(ctx, []string{node}, after, page)
		if err != nil {
			return err
		}
		for _, a := range list {
			after = a.Segment
			is, err := here(a)
			if err != nil {
				return err
			}
			if !is {
				continue
			}
			if err := e.cfg.Audio.Delete(ctx, a.Key); err != nil {
				return err
			}
			if err := e.cfg.Store.ErasedAudioDeleted(ctx, a, e.cfg.Now()); err != nil {
				return err
			}
			deleted++
		}
		if len(list) < page {
			break
		}
	}
	if deleted > 0 {
		e.cfg.Log.Info("audio of erased calls deleted late", "node", node, "segments", deleted)
	}
	return nil
}
