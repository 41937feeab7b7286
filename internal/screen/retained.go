package screen

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/seal"
	"callscreen/internal/store"
)

// retained is the state of retention and erasure. The sweep alone uses it, except stuck.
type retained struct {
	failing   map[string]bool // calls whose audio could not be deleted
	adoptions int             // since the start
	adopted   time.Time       // last time
	stuck     atomic.Pointer[map[string]int]
}

// Kinds of data that could not be deleted, beyond those of the store.
const (
	stuckDatabase = "database" // copies of erased rows in the files of SQLite
	stuckSpool    = "spool"    // files in the spool that belong to no call
)

// StuckKinds are the keys of Stuck.
var StuckKinds = []string{
	store.StuckAudio,
	store.StuckLostNode,
	store.StuckErasedAudio,
	store.StuckWebhook,
	stuckDatabase,
	stuckSpool,
}

// retain deletes what is to be deleted. A task that fails does not keep the others from their work.
func (e *Maintenance) retain(ctx context.Context) error {
	return errors.Join(
		e.adopt(ctx),
		e.deleteErased(ctx),
		e.discardErased(ctx),
		e.giveUpDeliveries(ctx),
		e.expire(ctx),
		e.forget(ctx),
		e.measureStuck(ctx, e.scrub(ctx)),
	)
}

const (
	adoptEvery = 24 * time.Hour
	adoptPage  = 200
)

// adopt takes over the audio of nodes that are gone, if it is in the audio folder of this node: the file with the name of the
// node was lost, and the node has another name now. It looks at the start, a sweep later, when the old name is silent, and
// then daily.
func (e *Maintenance) adopt(ctx context.Context) error {
	now := e.cfg.Now()
	if e.retained.adoptions >= 2 && now.Sub(e.retained.adopted).Abs() < adoptEvery || e.cfg.Store.Shared() && !e.cfg.LocalAudio {
		return nil
	}
	nodes, err := e.cfg.Store.AudioNodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.Node == e.cfg.Node || e.cfg.Store.Shared() && n.Silent < silentAfter {
			continue
		}
		if err := e.adoptFrom(ctx, n.Node); err != nil {
			return err
		}
		here := func(a store.ErasedAudio) (bool, error) { return e.holds(ctx, a.Key) }
		if err := e.deleteErasedOf(ctx, n.Node, here); err != nil {
			return err
		}
	}
	e.retained.adoptions++
	e.retained.adopted = now
	return nil
}

// holds reports whether the audio folder of this node has a file. With SQLite it has all there is.
func (e *Maintenance) holds(ctx context.Context, key string) (bool, error) {
	if !e.cfg.Store.Shared() {
		return true, nil
	}
	o, _, err := e.cfg.Audio.Open(ctx, key)
	switch {
	case errors.Is(err, audio.ErrNotFound):
		return false, nil
	case errors.Is(err, audio.ErrTampered) || errors.Is(err, seal.ErrKey):
		return true, nil // it is there, and cannot be decrypted
	case err != nil:
		return false, err
	}
	return true, o.Close()
}

func (e *Maintenance) adoptFrom(ctx context.Context, node string) error {
	to := ""
	if e.cfg.LocalAudio {
		to = e.cfg.Node
	}
	adopted := int64(0)
	for after := ""; ; {
		list, err := e.cfg.Store.AudioOf(ctx, node, after, adoptPage)
		if err != nil {
			return err
		}
		var ours []string
		for _, g := range list {
			after = g.ID
			is, err := e.holds(ctx, g.AudioKey)
			if err != nil {
				return err
			}
			if is {
				ours = append(ours, g.ID)
			}
		}
		if len(ours) > 0 {
			n, err := e.cfg.Store.AdoptAudio(ctx, ours, node, to)
			if err != nil {
				return err
			}
			adopted += n
		}
		if len(list) < adoptPage {
			break
		}
	}
	if adopted > 0 {
		e.cfg.Log.Warn("audio of a lost node name adopted", "node", node, "segments", adopted, "hint", "the file node in data_dir was lost")
	}
	return nil
}

const (
	// giveUpAfter is the time for which messages to endpoints that are not configured wait.
	giveUpAfter = 24 * time.Hour
	// giveUpReason is the last error of the dead letters.
	giveUpReason = "the endpoint is not configured any more, given up after 24 h"
)

// giveUpDeliveries gives up messages to endpoints that no node serves, since their calls could never be erased by age.
func (e *Maintenance) giveUpDeliveries(ctx context.Context) error {
	if e.cfg.Endpoints == nil {
		return nil
	}
	due := e.cfg.Expiry().Add(-giveUpAfter)
	given, err := e.cfg.Store.GiveUpDeliveries(ctx, e.cfg.Endpoints(), due, e.cfg.Now(), giveUpReason)
	if err != nil {
		return err
	}
	for endpoint, n := range given {
		e.cfg.Log.Warn(
			"webhook messages given up, their endpoint is not configured",
			"endpoint",
			endpoint,
			"messages",
			n,
			"hint",
			"callscreen webhooks list shows them",
		)
	}
	return nil
}

// scrub removes copies of erased rows from the files of the database. It returns an error if some may remain.
func (e *Maintenance) scrub(ctx context.Context) error {
	free := int64(math.MaxInt64)
	if e.cfg.Room != nil {
		room, err := e.cfg.Room()
		if err != nil {
			return fmt.Errorf("%w: %w", store.ErrUnscrubbed, err)
		}
		free = room
	}
	b, err := e.cfg.Store.Backlog(ctx)
	if err != nil {
		return err
	}
	return e.cfg.Store.Scrub(ctx, b.Recorded+b.Submitted == 0 && len(e.cfg.OwnParts()) == 0, free)
}

// measureStuck counts what could not be deleted. unscrubbed is the result of scrub; it is an error of the sweep only if the
// database did not answer.
func (e *Maintenance) measureStuck(ctx context.Context, unscrubbed error) error {
	counts := noneStuck()
	var endpoints []string
	if e.cfg.Endpoints != nil {
		endpoints = e.cfg.Endpoints()
	}
	list, err := e.cfg.Store.Stuck(ctx, endpoints, e.cfg.Now())
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.Kind != store.StuckWebhook || e.cfg.Endpoints != nil {
			counts[s.Kind] += s.Count
		}
	}
	if errors.Is(unscrubbed, store.ErrUnscrubbed) {
		counts[stuckDatabase], unscrubbed = 1, nil
	}
	if e.cfg.Leftovers != nil {
		counts[stuckSpool], err = e.cfg.Leftovers.LeftBehind()
	}
	e.retained.stuck.Store(&counts)
	return errors.Join(unscrubbed, err)
}

// Stuck returns the number of things, by kind, that retention or an erasure could not delete by the last sweep.
func (e *Maintenance) Stuck() map[string]int {
	if m := e.retained.stuck.Load(); m != nil {
		return *m
	}
	return noneStuck()
}

func noneStuck() map[string]int {
	counts := map[string]int{}
	for _, kind := range StuckKinds {
		counts[kind] = 0
	}
	return counts
}
