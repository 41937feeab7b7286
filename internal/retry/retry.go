// Package retry holds the one schedule by which work is repeated that a process may not survive: it is a function of the
// number of attempts, which the database keeps.
package retry

import (
	"context"
	"time"
)

var schedule = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 60 * time.Second}

// After returns the delay before the next attempt, after so many have failed.
func After(attempts int) time.Duration { return schedule[min(max(attempts, 0), len(schedule)-1)] }

// Sleep waits for d. It returns the cause of the context if that ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
