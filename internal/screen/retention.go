package screen

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"callscreen/internal/store"
)

// expire deletes audio that was kept for long enough. What cannot be deleted keeps nothing else from being deleted.
func (e *Maintenance) expire(ctx context.Context) error {
	const page = 100
	for {
		calls, err := e.cfg.Store.ExpiredAudio(ctx, e.cfg.Node, e.cfg.Now(), page)
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
			return fmt.Errorf("delete the audio of %d calls that was kept for long enough: %w", failed, err)
		}
		if len(calls) < page {
			return nil
		}
	}
}

// forgetAudio deletes the audio of a call, and notes that.
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

// deleteAudio deletes the audio of a call and lists the segments that had some. That of a segment which is not settled,
// because the call has just been resumed, is still needed.
func (e *Maintenance) deleteAudio(ctx context.Context, call string) (had []store.Segment, err error) {
	segments, err := e.cfg.Store.Segments(ctx, call)
	if err != nil {
		return nil, err
	}
	for _, g := range segments {
		if g.AudioKey == "" || !g.Settled() || g.AudioNode != "" && g.AudioNode != e.cfg.Node {
			continue
		}
		if err := e.cfg.Audio.Delete(ctx, g.AudioKey); err != nil {
			return nil, err
		}
		had = append(had, g)
	}
	return had, nil
}

// Erase removes everything about a call that has ended, audio first, and leaves a line in the audit.
func (e *Maintenance) Erase(ctx context.Context, call, who, why string) error {
	c, err := e.cfg.Store.Call(ctx, call)
	if err != nil {
		return err
	}
	segments, err := e.cfg.Store.Segments(ctx, call)
	if err != nil {
		return err
	}
	busy := c.State == store.CallLive || slices.ContainsFunc(segments, func(g store.Segment) bool { return !g.Settled() })
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

// forgetAtOnce is how many calls one sweep erases at the most, so that others get at the database in between.
const forgetAtOnce = 500

// forget erases calls whose records were kept for long enough. One that cannot be erased yet keeps no other from it.
func (e *Maintenance) forget(ctx context.Context) error {
	if e.cfg.KeepRecords <= 0 {
		return nil
	}
	calls, err := e.cfg.Store.ExpiredCalls(ctx, e.cfg.Now().Add(-e.cfg.KeepRecords), forgetAtOnce)
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
