package screen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"time"

	"callscreen/internal/store"
)

const (
	// expireTime bounds the deletion of expired audio in one sweep, so that an audio store that hangs does not keep the sweep
	// from its other work.
	expireTime = 4 * time.Minute
	// deleteTime bounds the deletion of the audio of one call.
	deleteTime = 20 * time.Second
	// againAtOnce is the number of calls, whose audio could not be deleted before, that one sweep tries again.
	againAtOnce = 100
	expirePage  = 100
)

// expire deletes audio whose retention has passed. Audio that could not be deleted before comes last, so that it does not
// keep other audio from being deleted.
func (e *Maintenance) expire(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, expireTime)
	defer cancel()
	var again []string
	var failure error
	failed, failing := 0, map[string]bool{}
	try := func(call string) {
		one, cancel := context.WithTimeout(limited, deleteTime)
		defer cancel()
		switch err := e.forgetAudio(one, call); {
		case err == nil:
			delete(failing, call)
		case limited.Err() == nil:
			failed++
			failing[call], failure = true, err
		}
	}
	for last := (store.ExpiredAudio{}); ; {
		page, err := e.cfg.Store.ExpiredAudio(limited, e.cfg.Node, e.cfg.Expiry(), last, expirePage)
		if err != nil {
			maps.Copy(failing, e.retained.failing) // not all of them were seen
			failure = cmp.Or(failure, err)
			break
		}
		for _, x := range page {
			if e.retained.failing[x.Call] {
				again, failing[x.Call] = append(again, x.Call), true
			} else {
				try(x.Call)
			}
		}
		if len(page) < expirePage {
			break
		}
		last = page[len(page)-1]
	}
	rand.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	for _, call := range again[:min(len(again), againAtOnce)] {
		try(call)
	}
	e.retained.failing = failing
	if failure != nil {
		return fmt.Errorf("delete the expired audio of %d calls: %w", failed, failure)
	}
	return nil
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
		if g.AudioKey == "" || g.Busy() || !e.has(g.AudioNode) {
			continue
		}
		if err := e.cfg.Audio.Delete(ctx, g.AudioKey); err != nil {
			return nil, err
		}
		had = append(had, g)
	}
	return had, nil
}

// has reports whether this node has the audio of a node. SQLite has one node, whatever its names were.
func (e *Maintenance) has(audioNode string) bool {
	return audioNode == "" || audioNode == e.cfg.Node || !e.cfg.Store.Shared()
}

// forgetAtOnce is the number of calls that one sweep erases, so that other work reaches the database in between.
const forgetAtOnce = 500

// forget erases calls whose records have expired. A call that cannot be erased yet does not keep others from it.
func (e *Maintenance) forget(ctx context.Context) error {
	if e.cfg.KeepRecords <= 0 {
		return nil
	}
	gone, err := e.gone(ctx)
	if err != nil {
		return err
	}
	var failed error
	erased := 0
	for last := (store.Cursor{StartedMS: math.MinInt64}); erased < forgetAtOnce; {
		page, err := e.cfg.Store.ExpiredCalls(ctx, e.cfg.Expiry().Add(-e.cfg.KeepRecords), gone, last, forgetAtOnce)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, c := range page {
			switch err := e.erase(ctx, c.ID, "machine", "kept for as long as retention.records says", gone); {
			case err == nil:
				erased++
			case !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound):
				failed = err
			}
		}
		if len(page) < forgetAtOnce {
			break
		}
		last = page[len(page)-1]
	}
	return failed
}
