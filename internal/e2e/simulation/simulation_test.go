// Package simulation_test runs the durable core of `serve` (forwarder, queue, workers, leases, rate limit, outbox) on a fake
// clock, with an API, a receiver and a database that fail as a seed says.
package simulation_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/store/storetest"
)

// seeds returns the number of worlds of a run, CALLSCREEN_WORLDS, and the first of their seeds, CALLSCREEN_WORLD.
func seeds(t *testing.T) (first uint64, n int) {
	t.Helper()
	n = 500
	if testing.Short() {
		n = 50
	}
	if v, err := strconv.Atoi(os.Getenv("CALLSCREEN_WORLDS")); err == nil {
		n = v
	}
	first = uint64(time.Now().UnixNano())
	if v, err := strconv.ParseUint(os.Getenv("CALLSCREEN_WORLD"), 10, 64); err == nil {
		first = v
	}
	return first, n
}

// atMost is the number of failed worlds that are shown.
const atMost = 3

// memory returns a folder that is not on a disk, where there is one.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "callscreen-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// All that was promised is decided or reported, no clip is uploaded more than twice, no call has two owners, no message is
// delivered twice, and a flag does not wait for a backlog, in every world.
func TestThePromisesHold(t *testing.T) {
	first, n := seeds(t)
	t.Logf("%d worlds, seeds from %d", n, first)
	dir := memory(t)
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for failed.Load() < atMost {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				if i > 0 && i%1000 == 0 {
					t.Logf("%d worlds", i)
				}
				if why := simulate(t, first+uint64(i), filepath.Join(dir, strconv.FormatInt(i, 10))); why != "" {
					failed.Add(1)
					t.Errorf("world number %d: %s", i+1, why)
				}
			}
		})
	}
	all.Wait()
}

// simulate runs one world, and returns the broken promises.
func simulate(t *testing.T, seed uint64, dir string) (why string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	storetest.Empty(t, dir)
	kept, err := audio.NewFolder(filepath.Join(dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(seed, dir, kept)
		w.t = t
		w.run()
		why = w.failed()
	})
	return why
}
