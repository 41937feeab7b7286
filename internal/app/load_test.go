package app_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
)

// TestLoad is 200 live legs on this machine, sender and sidecar in one process: no packet may be lost by us, and
// everything must be back where it was afterwards. It takes a minute and both cores, so it runs only when asked for:
// make load.
func TestLoad(t *testing.T) {
	legs, _ := strconv.Atoi(os.Getenv("CALLSCREEN_LOAD"))
	if legs == 0 {
		t.Skip("set CALLSCREEN_LOAD=200, or make load")
	}
	const seconds = 30
	s := newSidecar(t, simulator.Script{}, nil, func(c *config.Config) { c.Analysis.MaxInFlight = 16 })
	media, err := publish.Opus(bytes.NewReader(demo.Human))
	if err != nil {
		t.Fatal(err)
	}
	for len(media.Packets) < seconds*50 { // the recording is shorter than that
		media.Packets = append(media.Packets, media.Packets[:min(len(media.Packets), seconds*50-len(media.Packets))]...)
	}
	for n := 0; n != runtime.NumGoroutine(); time.Sleep(3 * time.Second) { // the queue of jobs takes its time to start
		n = runtime.NumGoroutine()
	}
	before, heap := runtime.NumGoroutine(), memory()
	cpu := processor()
	peak, goroutines := uint64(0), 0
	watching, stop := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for watching.Err() == nil {
			time.Sleep(time.Second)
			peak, goroutines = max(peak, memory()), max(goroutines, runtime.NumGoroutine())
		}
	}()
	sum, err := publish.Run(
		t.Context(),
		media,
		&publish.Options{To: fmt.Sprintf("http://%s/whip/load/caller", s.app.Addr()), Calls: legs, Ramp: 10 * time.Millisecond},
	)
	stop()
	<-watched
	if err != nil || sum.Err() != nil || sum.Connected != legs {
		t.Fatalf("connected %d of %d: %v %v", sum.Connected, legs, err, sum.Err())
	}
	for n := 1; n <= legs; n++ {
		s.ended(fmt.Sprintf("load-%d", n))
	}
	total := s.app.Totals().Packets
	received, missing, late := total.Received, total.Missing, total.Late
	used := processor() - cpu
	minutes := float64(legs) * seconds / 60
	t.Logf(
		"%d legs for %d s: connected %d, sent %d packets, received %d, missing %d, late %d",
		legs,
		seconds,
		sum.Connected,
		sum.Packets,
		received,
		missing,
		late,
	)
	t.Logf("sender and sidecar together: %.0f ms of CPU and %.0f kB of heap a leg-minute or leg, %.1f goroutines a leg",
		float64(used.Milliseconds())/minutes, float64(peak-heap)/float64(legs)/1000, float64(goroutines-before)/float64(legs))
	if received != uint64(sum.Packets) || missing+late > 0 {
		t.Errorf("sent %d packets, received %d, missing %d, late %d", sum.Packets, received, missing, late)
	}
	s.idle()
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+10; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
	t.Logf("goroutines: %d before, %d at the most, %d after", before, goroutines, runtime.NumGoroutine())
}

func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func processor() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
