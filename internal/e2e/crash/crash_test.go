package crash_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

const kills = "CALLSCREEN_KILLS"

// times returns the number of kills for each database: a few by default, thirty in make crash.
func times(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv(kills))
	if err != nil {
		if testing.Short() {
			t.Skip("set CALLSCREEN_KILLS=30, or make crash")
		}
		return 3
	}
	return n
}

// long skips a test that is too long for a daily run.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv(kills) == "" {
		t.Skip("set CALLSCREEN_KILLS=30, or make crash")
	}
}

func TestKilledWithSQLite(t *testing.T) {
	t.Parallel()
	killed(t, newWorld(t, "", simulator.Script{Latency: 700 * time.Millisecond}), "SQLite", times(t))
}

func TestKilledWithPostgreSQL(t *testing.T) {
	t.Parallel()
	killed(t, newWorld(t, storetest.StartPostgres(t).Database(), simulator.Script{Latency: 700 * time.Millisecond}), "PostgreSQL", times(t))
}

// killed kills a sidecar at random moments while calls are published to it, and restarts it each time. All segments that it
// logged as safe must be decided in the end, and each decision must be announced once.
func killed(t *testing.T, w *world, name string, kills int, env ...string) {
	n := w.node(temp(t), env...)
	n.start()
	p := w.publishers(10, func() string { return n.addr })
	inFlight := 0
	for range kills {
		time.Sleep(1500*time.Millisecond + time.Duration(rand.N(3000))*time.Millisecond)
		n.kill()
		inFlight += w.count(n, "SELECT count(*) FROM segment WHERE state = 'recorded' AND submit_started_ms > 0")
		p.cut()
		n.start()
	}
	time.Sleep(2 * time.Second)
	p.stop()
	took := w.drain(2*time.Minute, n)
	v := w.judge(n)
	v.drained = took
	if v.promised < kills {
		t.Errorf("only %d segments were promised: too few for a meaningful test", v.promised)
	}
	if v.paidTwice > inFlight {
		t.Errorf("%d uploads were paid twice, %d were in flight at a kill", v.paidTwice, inFlight)
	}
	w.report(
		"| %s | %d | %d | %d | %d | %d of %d in flight | %.1f s |",
		name,
		kills,
		v.promised,
		v.lost,
		v.undecided,
		v.paidTwice,
		inFlight,
		v.drained.Seconds(),
	)
}
