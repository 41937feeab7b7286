//go:build !windows

package limit

import (
	"math"
	"syscall"
)

// Descriptors returns the number of files and connections that the process may have open.
func Descriptors() int {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return math.MaxInt32
	}
	return int(min(l.Cur, math.MaxInt32))
}
