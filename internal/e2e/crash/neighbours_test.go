package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

// The connections of one of two nodes to PostgreSQL freeze again and again; new ones pass. No node takes over from the other.
func TestDatabaseConnectionsFreeze(t *testing.T) {
	t.Parallel()
	away := outage(t)
	url := storetest.StartPostgres(t).Database()
	proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
	w := newWorld(t, url, simulator.Script{Latency: 700 * time.Millisecond})
	shared := filepath.Join(t.TempDir(), "audio")
	nodes := make([]*node, 2)
	for i := range nodes {
		nodes[i] = w.node(temp(t))
		nodes[i].more = fmt.Sprintf("audio: %q", shared)
	}
	nodes[0].url = through
	for _, n := range nodes {
		n.start()
	}
	turn := 0
	p := w.publishers(1, func() string { return nodes[0].addr })
	q := w.publishers(4, func() string { return nodes[1].addr })
	time.Sleep(4 * time.Second)
	for start := time.Now(); time.Since(start) < away; turn++ {
		proxy.Freeze(false)
		time.Sleep(5 * time.Second)
	}
	p.stop()
	q.stop()
	took := w.drain(3*time.Minute, nodes...)
	v := w.judge(nodes[1])
	v.drained = took
	for i, n := range nodes {
		for _, wrong := range []string{"jobs taken over", "interrupted call ended", "taken for dead"} {
			if n.said(wrong) {
				t.Errorf("node %d: %s: %s", i, wrong, n.tail())
			}
		}
	}
	w.report(
		"| the database connections of one of two nodes freeze %d times in %v | %v, %d failed for good | no take-over |",
		turn, away, v, failedForGood(w, nodes[1]),
	)
}

func failedForGood(w *world, n *node) int {
	return w.count(n, "SELECT count(*) FROM segment WHERE state = 'failed'")
}

// One of two nodes has an empty folder in place of the shared one. Its calls wait in its spool until it is mounted.
func TestOneNodeHasNoAudioFolder(t *testing.T) {
	t.Parallel()
	away := outage(t)
	w := newWorld(t, storetest.StartPostgres(t).Database(), simulator.Script{Latency: 700 * time.Millisecond})
	shared, point := filepath.Join(t.TempDir(), "audio"), filepath.Join(t.TempDir(), "mounted")
	right, wrong := w.node(temp(t)), w.node(temp(t))
	right.more, wrong.more = fmt.Sprintf("audio: %q", shared), fmt.Sprintf("audio: %q", point)
	right.start()
	p := w.publishers(3, func() string { return right.addr })
	eventually(t, time.Minute, "the first calls are stored", func() (bool, string) {
		return w.count(right, "SELECT count(*) FROM segment WHERE state = 'scored'") > 0, right.tail()
	})
	wrong.start()
	q := w.publishers(3, func() string { return wrong.addr })
	start, seen := time.Now(), ""
	eventually(t, time.Minute, "the node is not ready", func() (bool, string) {
		seen = wrong.health()
		return strings.Contains(seen, `"audio":"node `) && strings.Contains(seen, `"ready":false`), seen
	})
	if h := right.health(); !strings.Contains(h, `"ready":true`) {
		t.Error(h)
	}
	time.Sleep(away - time.Since(start))
	if n := failedForGood(w, right); n != 0 {
		t.Errorf("%d segments failed", n)
	}
	if err := os.Remove(point); err != nil { // it has stayed empty
		t.Error(err)
	}
	if err := os.Symlink(shared, point); err != nil { // as if mounted
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the node is ready", func() (bool, string) {
		h := wrong.health()
		return strings.Contains(h, `"ready":true`), h
	})
	p.stop()
	q.stop()
	took := w.drain(3*time.Minute, right, wrong)
	v := w.judge(right)
	v.drained = took
	failed := failedForGood(w, right)
	if failed != 0 {
		t.Errorf("%d segments failed", failed)
	}
	w.report(
		"| the audio folder of one of two nodes is not mounted for %v | %v, %d failed for good | `/readyz` of that node: 503, %s |",
		away, v, failed, excerpt(seen, "audio"),
	)
}

// The disk of data_dir runs out of inodes while it has free space. Segments that were promised before are decided.
func TestTheDiskHasNoInodes(t *testing.T) {
	t.Parallel()
	times(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=200m,nr_inodes=1500"); err != nil {
		t.Skip("a small file system cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, "", simulator.Script{Latency: 200 * time.Millisecond})
	n := w.node(filepath.Join(dir, "data"))
	n.more = "spool: {min_free_mb: 16}"
	n.start()
	p := w.publishers(5, func() string { return n.addr })
	time.Sleep(4 * time.Second)
	// Inodes that are freed by deliveries are taken too, until recording stops.
	var fillers []string
	seen := ""
	eventually(t, time.Minute, "recording stops", func() (bool, string) {
		for i := 0; ; i++ {
			name := filepath.Join(dir, "filler-"+strconv.Itoa(len(fillers)))
			if os.WriteFile(name, nil, 0o600) != nil {
				break
			}
			fillers = append(fillers, name)
		}
		seen = n.health()
		return strings.Contains(seen, `"spool":"the disk is too full to record`) && strings.Contains(seen, `"ready":false`), seen + n.tail()
	})
	time.Sleep(3 * time.Second)
	for _, f := range fillers {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, time.Minute, "recording continues", func() (bool, string) {
		h := n.health()
		return strings.Contains(h, `"ready":true`), h
	})
	time.Sleep(4 * time.Second)
	p.stop()
	took := w.drain(2*time.Minute, n)
	v := w.judge(n)
	v.drained = took
	w.report("| the disk has no inodes | %v | `/readyz`: 503, %s |", v, excerpt(seen, "spool"))
}
