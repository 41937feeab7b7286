package crash_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

// outage returns the duration of an outage: a minute in make crash, less by default.
func outage(t *testing.T) time.Duration {
	long(t)
	if times(t) > 10 {
		return time.Minute
	}
	return 8 * time.Second
}

// While the analysis API is down, calls are recorded, and log and /readyz report the outage. After it all calls are decided.
func TestTheAPIIsDown(t *testing.T) {
	t.Parallel()
	away := outage(t)
	for name, database := range databases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, database(), simulator.Script{Latency: 200 * time.Millisecond})
			n := w.node(temp(t))
			n.start()
			p := w.publishers(5, func() string { return n.addr })
			time.Sleep(4 * time.Second)
			addr := w.api.addr
			w.api.stop()
			start := time.Now()
			eventually(t, time.Minute, "the breaker opens", func() (bool, string) {
				h := n.health()
				return strings.Contains(h, `"ready":true`) && strings.Contains(h, "the API failed several times in a row"), h + n.tail()
			})
			seen := n.health()
			time.Sleep(away - time.Since(start))
			w.api.start(addr)
			time.Sleep(2 * time.Second)
			p.stop()
			took := w.drain(2*time.Minute, n)
			v := w.judge(n)
			v.drained = took
			if !n.said("nothing is lost, segments wait; check the network") {
				t.Errorf("the log does not report the outage of the API: %s", n.tail())
			}
			w.report("| the API is down for %v, %s | %v | `/readyz`: ready, %s |", away, name, v, excerpt(seen, "analysis"))
		})
	}
}

// excerpt returns the text of a health report about one component.
func excerpt(health, key string) string {
	_, rest, _ := strings.Cut(health, `"`+key+`":"`)
	text, _, _ := strings.Cut(rest, `"`)
	return key + ": " + text
}

// databases returns the databases that each failure is tested with.
func databases(t *testing.T) map[string]func() string {
	server := storetest.StartPostgres(t)
	return map[string]func() string{"SQLite": func() string { return "" }, "PostgreSQL": server.Database}
}

// PostgreSQL is stopped immediately and restarted. In the meantime calls are recorded into the spool.
func TestPostgreSQLIsStopped(t *testing.T) {
	t.Parallel()
	away := outage(t)
	server := storetest.StartPostgres(t)
	w := newWorld(t, server.Database(), simulator.Script{Latency: 200 * time.Millisecond})
	n := w.node(temp(t))
	n.start()
	p := w.publishers(5, func() string { return n.addr })
	time.Sleep(4 * time.Second)
	server.Stop(syscall.SIGQUIT)
	start := time.Now()
	w.mu.Lock()
	before := len(w.promised)
	w.mu.Unlock()
	seen := ""
	eventually(t, time.Minute, "the outage is reported, and recording continues", func() (bool, string) {
		seen = n.health()
		w.mu.Lock()
		after := len(w.promised)
		w.mu.Unlock()
		return strings.Contains(seen, `"ready":true`) && strings.Contains(seen, `"database":"does not answer`) &&
				strings.Contains(seen, `"delivery"`) &&
				after > before, fmt.Sprintf(
				"%s, %d promised before, %d now",
				seen,
				before,
				after,
			)
	})
	time.Sleep(away - time.Since(start))
	server.Start()
	time.Sleep(2 * time.Second)
	p.stop()
	took := w.drain(3*time.Minute, n)
	v := w.judge(n)
	v.drained = took
	if !n.said("nothing is lost; check the database and the audio store") {
		t.Errorf("the log does not report the outage of the database: %s", n.tail())
	}
	w.report("| PostgreSQL is stopped for %v | %v | `/readyz`: ready, %s |", away, v, excerpt(seen, "database"))
}

// If the free space of the disk falls to the configured minimum, recording stops with an error in the log, and the promised
// segments are decided within the reserved space. Then the reserved space is filled too. When space is free again, recording
// continues.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	times(t)
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	const size, floor = 48, 16 // MB
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", size)); err != nil {
		t.Skip("a small file system cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	w := newWorld(t, "", simulator.Script{Latency: 200 * time.Millisecond})
	n := w.node(filepath.Join(dir, "data"))
	n.more = fmt.Sprintf("spool: {min_free_mb: %d}", floor)
	n.start()
	p := w.publishers(5, func() string { return n.addr })
	time.Sleep(4 * time.Second)
	fill := func(name string, leave uint64) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(dir, &st); err != nil {
			t.Fatal(err)
		}
		have := st.Bavail * uint64(st.Bsize)
		if have <= leave {
			return
		}
		_ = os.WriteFile(filepath.Join(dir, name), make([]byte, have-leave), 0o600) // the disk may become full before the last byte
	}
	fill("to the floor", (floor-1)<<20)
	seen := ""
	eventually(t, time.Minute, "recording stops", func() (bool, string) {
		seen = n.health()
		return strings.Contains(seen, `"spool":"the disk is too full to record`) && n.said("lost: the disk is too full to record") &&
			n.said("leg refused"), seen + n.tail()
	})
	eventually(t, time.Minute, "the promised segments are decided", func() (bool, string) {
		open := w.count(n, "SELECT count(*) FROM segment WHERE state IN ('recorded', 'submitted')")
		return open == 0, fmt.Sprint(open, " segments open")
	})
	// A call with a segment that could not be stored must not be clear.
	eventually(t, time.Minute, "calls end with segments that could not be stored", func() (bool, string) {
		failed := w.count(n, "SELECT count(*) FROM segment WHERE state = 'failed' AND reason = 'storage'")
		return failed > 0, "none"
	})
	if wrong := w.count(
		n,
		"SELECT count(*) FROM call c WHERE final = 1 AND decision = 'clear' "+
			"AND EXISTS (SELECT 1 FROM segment s WHERE s.call_id = c.id AND s.reason = 'storage')",
	); wrong != 0 {
		t.Errorf("%d calls are clear although one of their segments could not be stored", wrong)
	}
	fill("to the brim", 0)
	time.Sleep(3 * time.Second)
	for _, name := range []string{"to the brim", "to the floor"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Error(err)
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
	w.report("| the disk is full | %v | `/readyz`: 503, %s |", v, excerpt(seen, "spool"))
}

// The machine is in time zones east and west of Greenwich. A queue that compares local times as text would stop, or would run
// without pause.
func TestKilledEastAndWestOfGreenwich(t *testing.T) {
	t.Parallel()
	long(t)
	few := min(times(t), 6)
	for name, database := range databases(t) {
		for _, zone := range []string{"Asia/Kolkata", "America/New_York"} {
			t.Run(name+" "+zone, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, database(), simulator.Script{Latency: 700 * time.Millisecond})
				killed(t, w, fmt.Sprintf("%s, TZ=%s", name, zone), few, "TZ="+zone)
			})
		}
	}
}
