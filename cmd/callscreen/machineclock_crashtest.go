//go:build crashtest

package main

import (
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// machineClock returns a clock that a test sets while the program runs. The file that CALLSCREEN_CRASHTEST_CLOCK names holds how
// far the clock is ahead, as a duration. Releases are built without this file.
func machineClock() func() time.Time {
	file := os.Getenv("CALLSCREEN_CRASHTEST_CLOCK")
	if file == "" {
		return nil
	}
	var ahead atomic.Int64
	read := func() {
		data, err := os.ReadFile(file)
		if err != nil {
			return
		}
		if d, err := time.ParseDuration(strings.TrimSpace(string(data))); err == nil {
			ahead.Store(int64(d))
		}
	}
	read()
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			read()
		}
	}()
	return func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
}
