//go:build !linux

package rtc

import "errors"

// Drops is not available on this system.
func (e *Engine) Drops() (uint64, error) { return 0, errors.ErrUnsupported }
