// Package simulation_test runs the durable core of `serve` (forwarder, queue, workers, leases, rate limit, outbox) on a fake
// clock, with an API, a receiver and a database that fail as a seed says.
package simulation_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
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
	if share := os.Getenv("CALLSCREEN_SHARE"); share != "" {
		var k, of int
		if _, err := fmt.Sscanf(share, "%d/%d", &k, &of); err != nil {
			t.Fatal(err)
		}
		simulateShare(t, first, n, k, of)
		return
	}
	t.Logf("%d worlds, seeds from %d", n, first)
	processes := runtime.GOMAXPROCS(0)
	if n < 10*processes {
		simulateShare(t, first, n, 0, 1)
		return
	}
	// Worlds of one process wait for each other, in the memory allocator of SQLite above all: two processes of one core each are
	// more than twice as fast as one of two cores.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	args := []string{"-test.run", "^TestThePromisesHold$", "-test.v", "-test.timeout", "0"}
	if end, ok := t.Deadline(); ok {
		args[len(args)-1] = time.Until(end).String()
	}
	var all sync.WaitGroup
	for k := range processes {
		all.Go(func() {
			cmd := exec.CommandContext(ctx, os.Args[0], args...)
			cmd.Env = append(os.Environ(), "GOMAXPROCS=1", fmt.Sprintf("CALLSCREEN_WORLD=%d", first), fmt.Sprintf("CALLSCREEN_WORLDS=%d", n),
				fmt.Sprintf("CALLSCREEN_SHARE=%d/%d", k, processes))
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				t.Error(err)
				return
			}
			lines := bufio.NewScanner(out)
			for lines.Buffer(nil, 1<<24); lines.Scan(); {
				t.Logf("process %d: %s", k, lines.Text())
			}
			if err := cmd.Wait(); err != nil && ctx.Err() == nil {
				t.Errorf("process %d: %v", k, err)
				cancel()
			}
		})
	}
	all.Wait()
}

// simulateShare runs the worlds of one process: number k+1, and each of-th after it.
func simulateShare(t *testing.T, first uint64, n, k, of int) {
	dir := memory(t)
	failed := 0
	for i := k; i < n && failed < atMost; i += of {
		if i > k && (i-k)/of%1000 == 0 {
			t.Logf("%d worlds", (i-k)/of)
		}
		if why := simulate(t, first+uint64(i), filepath.Join(dir, strconv.Itoa(i))); why != "" {
			failed++
			t.Errorf("world number %d: %s", i+1, why)
		}
	}
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
