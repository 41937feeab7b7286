package stories_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"callscreen/capture"
	"callscreen/internal/audio"
	"callscreen/internal/intake"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// node is one sidecar of a story, from the packet to the row. A kill loses its memory.
type node struct {
	name string
	st   *story
	dir  string

	live   *screen.Live
	intake *intake.Intake
	desk   *screen.Decider
	spool  *spool.Spool
	carry  *screen.Forwarder
	upkeep *screen.Maintenance
	book   *book
	stop   context.CancelFunc
	done   sync.WaitGroup
}

// book is the forwarder of a node until the node is killed. A killed node writes nothing.
type book struct {
	*screen.Forwarder
	dead atomic.Bool
}

func (b *book) Progress(p store.Part) error {
	if b.dead.Load() {
		return nil
	}
	return b.Forwarder.Progress(p)
}

func (b *book) Take(p store.Part, seg capture.LegSegment) error {
	if b.dead.Load() {
		return nil
	}
	return b.Forwarder.Take(p, seg)
}

// shelf is the audio store of all nodes. It can be away.
type shelf struct {
	audio.Store
	away atomic.Bool
}

func (s *shelf) Put(ctx context.Context, key, file string) error {
	if s.away.Load() {
		return fmt.Errorf("the audio store is away")
	}
	return s.Store.Put(ctx, key, file)
}

// start starts a node with what an earlier process left in its folder.
func (st *story) start(name string) *node {
	n := &node{name: name, st: st, dir: filepath.Join(st.dir, name)}
	log := slog.New(slog.NewTextHandler(&st.lines, nil))
	var err error
	if n.spool, err = spool.Open(n.dir, spool.Config{Log: log}); err != nil {
		st.fatal("%v", err)
	}
	n.desk = st.decider(name)
	n.carry = screen.NewForwarder(screen.ForwarderConfig{Spool: n.spool, Audio: st.shelf, Decider: n.desk, Log: log})
	n.book = &book{Forwarder: n.carry}
	n.live = screen.NewLive(screen.LiveConfig{
		Book:    n.book,
		Node:    name,
		Segment: st.cut,
		NewVAD:  st.vad,
		Log:     log,
	})
	n.intake = intake.New(intake.Config{Calls: n.live, Room: func() error { return nil }, Log: log})
	n.upkeep, err = screen.NewMaintenance(screen.MaintenanceConfig{
		Worker:      screen.NewWorker(screen.WorkerConfig{Store: st.store, Decider: n.desk, Audio: st.shelf, Node: name}),
		Store:       st.store,
		Decider:     n.desk,
		Audio:       st.shelf,
		Node:        name,
		MaxInFlight: 1,
		OwnParts:    st.ownParts,
		Log:         log,
	})
	if err != nil {
		st.fatal("%v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.done.Go(func() { n.carry.Run(ctx) })
	return n
}

// decider returns the decider of a node. The second node may have another policy, which both of them know.
func (st *story) decider(name string) *screen.Decider {
	own, other, version := st.rules.policy, st.rules.other, int64(1)
	if other != nil && name == "n2" {
		own, other, version = *other, &st.rules.policy, 2
	}
	d := screen.NewDecider(screen.DeciderConfig{Store: st.store, Policy: own, PolicyVersion: version})
	if other != nil {
		body, err := json.Marshal(other)
		if err != nil {
			st.fatal("%v", err)
		}
		if err := d.UseOthers([]store.PolicyInForce{{Version: 3 - version, Body: body, Nodes: []string{"other"}}}); err != nil {
			st.fatal("%v", err)
		}
	}
	return d
}

// ownParts returns the parts that the processes of a story answer for.
func (st *story) ownParts() map[store.PartKey]bool {
	own := map[store.PartKey]bool{}
	for _, n := range st.nodes {
		if n != nil {
			n.live.Parts(own)
			n.carry.Parts(own)
		}
	}
	return own
}

// kill ends a node like kill -9 does: what is in its memory is gone.
func (st *story) kill(i int) {
	n := st.nodes[i]
	n.book.dead.Store(true)
	n.stop()
	n.done.Wait()
	for _, s := range st.sessions {
		if s.node == n && !s.ended() {
			st.killed = true
		}
		if s.node == n {
			s.cut()
		}
	}
	st.account(n)
	n.live.Close()
	st.sessions = slicesDelete(st.sessions, func(s *session) bool { return s.node == n })
	if err := n.spool.Close(); err != nil {
		st.fatal("%v", err)
	}
	st.nodes[i] = nil
}

// shutDown ends a node in order: its calls end, and all of it is stored or spooled.
func (st *story) shutDown(i int) {
	n := st.nodes[i]
	for _, s := range st.sessions {
		if s.node == n {
			s.leave(intake.Lost)
		}
	}
	st.account(n)
	st.sessions = slicesDelete(st.sessions, func(s *session) bool { return s.node == n })
	n.live.Close()
	n.stop()
	n.done.Wait()
	if err := n.spool.Close(); err != nil {
		st.fatal("%v", err)
	}
	st.nodes[i] = nil
}

// account checks that the ledgers of a node close.
func (st *story) account(n *node) {
	if t := n.live.Totals(); t.Unclosed > 0 {
		st.fatal("%d ledgers of %s do not close", t.Unclosed, n.name)
	}
}

// loseEntry deletes one entry from the spool of a node that does not run.
func (st *story) loseEntry(name string) {
	dir := filepath.Join(st.dir, name)
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return
	}
	file := files[st.rng.IntN(len(files))]
	st.note("spool entry %s of %s lost", filepath.Base(file), name)
	_ = os.Remove(file)
	_ = os.Remove(file[:len(file)-len(".json")] + ".wav")
}

func slicesDelete(list []*session, del func(*session) bool) []*session {
	var kept []*session
	for _, s := range list {
		if !del(s) {
			kept = append(kept, s)
		}
	}
	return kept
}
