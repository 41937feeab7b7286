package testkit

import (
	"runtime"
	"testing"
	"time"
)

// Bounded limits the code until the returned function is called to 100 MB of allocations and 5 s. A hang ends the
// process, so that the fuzzer keeps the input.
func Bounded(t testing.TB) func() {
	t.Helper()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	watch := time.AfterFunc(5*time.Second, func() { panic("it hangs") })
	return func() {
		watch.Stop()
		var after runtime.MemStats
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 100e6 {
			t.Errorf("allocated %d MB", n/1e6)
		}
	}
}
