//go:build !crashtest

package main

import "time"

// machineClock returns nil: the clock of the machine is used as it is.
func machineClock() func() time.Time { return nil }
