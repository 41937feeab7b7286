// Package retry holds the one schedule by which work is repeated across restarts. It is a function of the number of attempts,
// which the database keeps.
package retry

import "time"

var schedule = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, 60 * time.Second}

// After returns the delay before the next attempt, after so many have failed.
func After(attempts int) time.Duration { return schedule[min(max(attempts, 0), len(schedule)-1)] }
