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

	mu      sync.Mutex
	anchor  time.Time       // steady time
	at      time.Duration   // monotonic time of the anchor
	started time.Duration   // monotonic time
	periods []period        // between jumps, the current one last
	since   time.Duration   // monotonic time at which the current one began
	looked  time.Duration   // monotonic time of the last look
	down    time.Duration   // time before the start by the clock alone, see Resume
	jumps   []time.Duration // that Check has not returned
}

// period is a time in which the clock did not jump.
type period struct {
	begin, end time.Time // by the clock; begin is zero for the first period
	ahead      time.Duration
}

// maxPeriods bounds the memory of jumps.
const maxPeriods = 64

// New returns a Clock that reads the time from now. Nil means the clock of the machine.
func New(now func() time.Time) *Clock {
	if now == nil {
		now = time.Now
	}
	start := time.Now()
	return newClock(now, func() time.Duration { return time.Since(start) })
}

func newClock(now func() time.Time, mono func() time.Duration) *Clock {
	return &Clock{
		now:     now,
		mono:    mono,
		anchor:  now().Round(0),
		at:      mono(),
		started: mono(),
		looked:  mono(),
		periods: make([]period, 1),
	}
}

// Now returns the time of the clock, for records that people read.
func (c *Clock) Now() time.Time { return c.now() }

// Resume notes when an earlier process last read the clock. The time from then to the start was measured by the clock alone, which may
// have been set: it makes no record older, and deletions wait for a day as if it had not passed. It must be called before other methods.
func (c *Clock) Resume(last time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, _ := c.look()
	down := now.Sub(last)
	if down <= 2*tolerance {
		return
	}
	c.down = down
	c.periods = []period{{end: now.Add(-2 * tolerance), ahead: -down}, {begin: now}}
}

// Steady returns a time that does not jump, for waits and leases within this process.
func (c *Clock) Steady() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, steady := c.look()
	return steady
}

// Since returns the age of a record that Now had stamped, in this process or an earlier one. A jump of the clock before or
// after does not make it too large.
func (c *Clock) Since(stamp time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, steady := c.look()
	stamp = stamp.Round(0)
	age, known := time.Duration(0), false
	for i, p := range c.periods {
		begin, end := p.begin.Add(-tolerance), p.end.Add(tolerance)
		if i == len(c.periods)-1 {
			end = now.Add(tolerance)
		}
		if stamp.Before(begin) || stamp.After(end) {
			continue
		}
		if a := steady.Sub(stamp.Add(-p.ahead)); !known || a < age {
			age, known = a, true
		}
	}
	if !known { // a clock that was wrong in an earlier process
		age = now.Sub(stamp)
	}
	return max(age, 0)
}

// Earliest returns the earlier of clock and steady time, for deletions that cannot be undone.
func (c *Clock) Earliest() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, steady := c.look()
	if c.mono()-c.started < believed {
		steady = steady.Add(-c.down)
	}
	if steady.Before(now) {
		return steady
	}
	return now
}

// Check returns how far the clock has jumped, each jump once. It must be called every few seconds.
func (c *Clock) Check() (jumps []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	jumps, c.jumps = c.jumps, nil
	return jumps
}

// look reads both times and notes a jump. The lock must be held.
func (c *Clock) look() (now, steady time.Time) {
	now, mono := c.now().Round(0), c.mono()
	steady = c.anchor.Add(mono - c.at)
	ahead := now.Sub(steady)
	last := &c.periods[len(c.periods)-1]
	if d := ahead - last.ahead; d.Abs() > tolerance {
		c.jumps = append(c.jumps, d)
		last.end = steady.Add(last.ahead) // the jump was at some time since the last look
		if len(c.periods) == maxPeriods {
			c.periods = append(c.periods[:1], c.periods[2:]...)
		}
		c.periods = append(c.periods, period{begin: now.Add(c.looked - mono)})
		c.since = mono
		last = &c.periods[len(c.periods)-1]
	}
	last.end, last.ahead, c.looked = now, ahead, mono
	if ahead.Abs() <= tolerance || mono-c.since >= believed {
		c.anchor, c.at, steady = now, mono, now
		for i := range c.periods {
			c.periods[i].ahead -= ahead
		}
	}
	return now, steady
}
