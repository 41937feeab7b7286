package screen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"callscreen/internal/store"
)

// expire deletes audio whose retention has passed. A failure does not keep other audio from being deleted.
func (e *Maintenance) expire(ctx context.Context) error {
	const page = 100
	for {
		calls, err := e.cfg.Store.ExpiredAudio(ctx, e.cfg.Node, e.cfg.Expiry(), page)
		if err != nil {
			return err
		}
		failed := 0
		for _, call := range calls {
			if undone := e.forgetAudio(ctx, call); undone != nil {
				failed++
				err = undone
			}
		}
		if err != nil {
			return fmt.Errorf("delete the expired audio of %d calls: %w", failed, err)
		}
		if len(calls) < page {
			return nil
		}
	}
}

// forgetAudio deletes the audio of a call and audits that.
func (e *Maintenance) forgetAudio(ctx context.Context, call string) error {
	segments, err := e.deleteAudio(ctx, call)
	if err != nil {
		return err
	}
	if err := e.cfg.Store.AudioDeleted(ctx, call, segments, e.cfg.Now()); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil // erased meanwhile
}

// deleteAudio deletes the audio of a call and returns the segments that had some. A segment that is not settled, because
// the call was just resumed, keeps its audio.
func (e *Maintenance) deleteAudio(ctx context.Context, call string) (had []store.SegmentRow, err error) {
	segments, err := e.cfg.Store.Segments(ctx, call)
	if err != nil {
		return nil, err
	}
	for _, g := range segments {
		if g.AudioKey == "" || g.Busy() || g.AudioNode != "" && g.AudioNode != e.cfg.Node {
			continue
		}
		if err := e.cfg.Audio.Delete(ctx, g.AudioKey); err != nil {
			return nil, err
		}
		had = append(had, g)
	}
	return had, nil
}

// Erase removes all data of an ended call, audio first, and leaves an audit line.
func (e *Maintenance) Erase(ctx context.Context, call, who, why string) error {
	c, err := e.cfg.Store.Call(ctx, call)
	if err != nil {
		return err
	}
	segments, err := e.cfg.Store.Segments(ctx, call)
	if err != nil {
		return err
	}
	busy := c.State == store.CallLive || slices.ContainsFunc(segments, store.SegmentRow.Busy)
	for k := range e.cfg.OwnParts() {
		busy = busy || k.Call == call
	}
	for _, g := range segments {
		if g.AudioKey != "" && g.AudioNode != "" && g.AudioNode != e.cfg.Node {
			return fmt.Errorf(
				"%w: only node %s can delete the audio of call %s (hint: send the request there)",
				store.ErrConflict,
				g.AudioNode,
				call,
			)
		}
	}
	if busy {
		return fmt.Errorf("%w: call %s is in progress, or is being analysed (hint: try again when it is final)", store.ErrConflict, call)
	}
	if err := e.forgetAudio(ctx, call); err != nil {
		return err
	}
	return e.cfg.Store.Erase(ctx, call, who, why, e.cfg.Now())
}

// forgetAtOnce is the number of calls that one sweep erases, so that other work reaches the database in between.
const forgetAtOnce = 500

// forget erases calls whose records have expired. A call that cannot be erased yet does not keep others from it.
func (e *Maintenance) forget(ctx context.Context) error {
	if e.cfg.KeepRecords <= 0 {
		return nil
	}
	calls, err := e.cfg.Store.ExpiredCalls(ctx, e.cfg.Expiry().Add(-e.cfg.KeepRecords), forgetAtOnce)
	if err != nil {
		return err
	}
	var failed error
	for _, call := range calls {
		err := e.Erase(ctx, call, "machine", "kept for as long as retention.records says")
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
