package crash_test

import (
	"fmt"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

// two starts two nodes that share a database and an audio folder. The nodes get the calls in turn.
func two(t *testing.T) (w *world, nodes [2]*node, p *callers, only *atomic.Int32) {
	t.Helper()
	w = newWorld(t, storetest.StartPostgres(t).Database(), simulator.Script{Latency: 700 * time.Millisecond})
	shared := filepath.Join(t.TempDir(), "audio")
	for i := range nodes {
		nodes[i] = w.node(temp(t))
		nodes[i].more = fmt.Sprintf("audio: %q", shared)
		nodes[i].start()
	}
	var turn atomic.Int32
	only = &atomic.Int32{}
	only.Store(-1)
	p = w.publishers(8, func() string {
		if one := only.Load(); one >= 0 {
			return nodes[one].addr
		}
		return nodes[turn.Add(1)%2].addr
	})
	return w, nodes, p, only
}

// If a node is lost, the other node finishes its segments in the database. The segments in its spool are delivered when its disk
// is available again.
func TestANodeIsGoneForGood(t *testing.T) {
	t.Parallel()
	long(t)
	w, nodes, p, only := two(t)
	time.Sleep(8 * time.Second)
	nodes[0].kill()
	only.Store(1)
	left := w.count(nodes[1], "SELECT count(*) FROM segment WHERE state IN ('recorded', 'submitted')")
	id := fmt.Sprintf("'%s'", nodeName(t, nodes[0]))
	took := eventually(t, time.Minute, "the other node finishes the segments in the database", func() (bool, string) {
		open := w.count(nodes[1], "SELECT count(*) FROM segment WHERE state IN ('recorded', 'submitted') AND node = "+id)
		live := w.count(
			nodes[1],
			"SELECT count(*) FROM call WHERE final = 0 AND id IN (SELECT call_id FROM part WHERE node = "+id+") "+
				"AND id NOT IN (SELECT call_id FROM part WHERE node <> "+id+")",
		)
		return open+live == 0, fmt.Sprintf("%d segments, %d calls\n%s", open, live, nodes[1].tail())
	})
	p.stop()
	if !nodes[1].said("node silent, jobs taken over") && !nodes[1].said("interrupted call ended") {
		t.Errorf("the other node did not log the take-over: %s", nodes[1].tail())
	}
	nodes[0].start()
	w.drain(2*time.Minute, nodes[:]...)
	v := w.judge(nodes[1])
	w.report(
		"| a node is killed for good, %d segments open | all of them and its calls decided by the other after %.1f s "+
			"| afterwards, with its disk back: %v |",
		left,
		took.Seconds(),
		v,
	)
}

// A node is frozen for longer than the time to a take-over, and continues. No segment is settled twice, and no decision is
// announced twice.
func TestANodeIsFrozen(t *testing.T) {
	t.Parallel()
	frozen := 45 * time.Second
	long(t)
	if times(t) <= 10 {
		frozen = 25 * time.Second
	}
	w, nodes, p, _ := two(t)
	time.Sleep(6 * time.Second)
	nodes[0].signal(syscall.SIGSTOP)
	time.Sleep(frozen)
	nodes[0].signal(syscall.SIGCONT)
	time.Sleep(5 * time.Second)
	p.cut()
	p.stop()
	took := w.drain(3*time.Minute, nodes[:]...)
	v := w.judge(nodes[1])
	v.drained = took
	if twice := w.count(
		nodes[1],
		"SELECT count(*) FROM (SELECT call_id FROM audit WHERE what IN ('segment.scored', 'segment.failed') "+
			"GROUP BY call_id, segment_id HAVING count(*) > 1) x",
	); twice != 0 {
		t.Errorf("%d segments were settled twice", twice)
	}
	w.report("| a node is frozen for %v | %v | no segment settled twice, no message twice |", frozen, v)
}
