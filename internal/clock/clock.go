// Package clock compares a clock that can be set with monotonic time, so that ages and waits survive the jump.
package clock

import (
	"sync"
	"time"
)

const (
	// tolerance is the largest change of a clock that is not a jump: NTP corrects smaller ones without notice.
	tolerance = 2 * time.Second
	// believed is the time after which a clock that was set is taken to be right. Until then ages do not grow by the jump.
	believed = 24 * time.Hour
)

// Clock is a clock with a steady twin, which runs on by monotonic time when the clock jumps. It is safe for concurrent use.
type Clock struct {
	now  func() time.Time
	mono func() time.Duration

	mu     sync.Mutex
	anchor time.Time     // steady time
	at     time.Duration // monotonic time of the anchor
	since  time.Duration // monotonic time at which the clock was first seen off the steady time
	off    bool
	ahead  time.Duration // of the clock, at the last Check
}

// New returns a Clock that reads the time from now. Nil means the clock of the machine.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	start := time.Now()
	return newClock(now, func() time.Duration { return time.Since(start) })
}

func newClock(now func() time.Time, mono func() time.Duration) *Clock {
	return &Clock{now: now, mono: mono, anchor: now().Round(0), at: mono()}
}

// Now returns the time of the clock, for records that people read.
func (c *Clock) Now() time.Time { return c.now() }

// Steady returns a time that never jumps, for waits and leases within this process.
func (c *Clock) Steady() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.steady()
}

func (c *Clock) steady() time.Time { return c.anchor.Add(c.mono() - c.at) }

// Since returns the age of a record that Now had stamped. A jump of the clock can make it too small for as long as the jump
// is not believed, and never too large.
func (c *Clock) Since(stamp time.Time) time.Duration {
	now, steady := c.now().Round(0), c.Steady()
	stamp = stamp.Round(0)
	age := now.Sub(stamp)
	if !stamp.After(steady) { // otherwise it was stamped after a jump
		age = min(age, steady.Sub(stamp))
	}
	return max(age, 0)
}

// Earliest returns the earlier of clock and steady time, for deletions that cannot be undone.
func (c *Clock) Earliest() time.Time {
	now, steady := c.now(), c.Steady()
	if steady.Before(now) {
		return steady
	}
	return now
}

// Check returns how far the clock has jumped since the last Check, 0 if it has not. It must be called every few seconds.
func (c *Clock) Check() (jump time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, mono, steady := c.now().Round(0), c.mono(), c.steady()
	ahead := now.Sub(steady)
	if d := ahead - c.ahead; d.Abs() > tolerance {
		jump = d
	}
	switch {
	case ahead.Abs() <= tolerance:
		c.follow(now, mono)
	case !c.off || jump != 0:
		c.off, c.since, c.ahead = true, mono, ahead
	case mono-c.since >= believed:
		c.follow(now, mono)
	default:
		c.ahead = ahead
	}
	return jump
}

func (c *Clock) follow(now time.Time, mono time.Duration) {
	c.anchor, c.at, c.off, c.ahead = now, mono, false, 0
}
