package clock

import (
	"testing"
	"time"
)

// bench is a clock whose wall and monotonic times are set by the test.
type bench struct {
	wall time.Time
	mono time.Duration
}

func (b *bench) pass(d time.Duration) { b.wall, b.mono = b.wall.Add(d), b.mono+d }

func (b *bench) clock() *Clock {
	return newClock(func() time.Time { return b.wall }, func() time.Duration { return b.mono })
}

func TestAnAgeDoesNotGrowByAJump(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour, time.Second, 30 * 24 * time.Hour} {
		b := &bench{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		c := b.clock()
		before := c.Now()
		b.pass(time.Minute)
		b.wall = b.wall.Add(jump)
		after := c.Now()
		due := c.Steady().Add(10 * time.Second)
		for range 10 {
			b.pass(time.Second)
			c.Check()
		}
		if age := c.Since(before); age > 70*time.Second+max(min(jump, tolerance), 0) {
			t.Errorf("jump of %v: a record of 70 s ago has an age of %v", jump, age)
		}
		if age := c.Since(after); age > 10*time.Second {
			t.Errorf("jump of %v: a record of 10 s ago has an age of %v", jump, age)
		}
		if c.Steady().Before(due) || c.Steady().Sub(due) > tolerance {
			t.Errorf("jump of %v: a wait of 10 s is off by %v", jump, c.Steady().Sub(due))
		}
		if c.Earliest().After(before.Add(80 * time.Second)) {
			t.Errorf("jump of %v: a deletion is due too early", jump)
		}
	}
}

func TestAJumpIsToldOnceWithItsSize(t *testing.T) {
	t.Parallel()
	b := &bench{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	c := b.clock()
	told := map[time.Duration]int{}
	look := func(times int) {
		for range times {
			b.pass(2 * time.Second)
			for _, j := range c.Check() {
				told[j]++
			}
		}
	}
	look(10)
	b.wall = b.wall.Add(time.Hour)
	look(10)
	b.wall = b.wall.Add(-3 * time.Hour)
	look(10)
	b.wall = b.wall.Add(2 * time.Hour)
	look(10)
	for _, want := range []time.Duration{time.Hour, -3 * time.Hour, 2 * time.Hour} {
		if told[want] != 1 {
			t.Errorf("%v was told %d times: %v", want, told[want], told)
		}
	}
	if len(told) != 3 {
		t.Error(told)
	}
}

// A machine that starts with a wrong clock and is corrected must not keep records without end.
func TestAClockThatStaysSetIsBelieved(t *testing.T) {
	t.Parallel()
	b := &bench{wall: time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)}
	c := b.clock()
	b.wall = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for range int(believed/time.Minute) + 2 {
		b.pass(time.Minute)
		c.Check()
	}
	if d := c.Now().Sub(c.Steady()); d != 0 || !c.Earliest().Equal(c.Now()) {
		t.Errorf("steady time is %v behind a day later", d)
	}
	// A clock that drifts is no jump.
	for range 1000 {
		b.pass(2 * time.Second)
		b.wall = b.wall.Add(10 * time.Millisecond)
		if j := c.Check(); len(j) != 0 {
			t.Fatal(j)
		}
	}
	if d := c.Now().Sub(c.Steady()); d.Abs() > tolerance {
		t.Error(d)
	}
}

// A clock that is wrong for a while stamps records. They are as old as they are after it was set right.
func TestRecordsOfAWrongClockHaveTheirAge(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		b := &bench{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		c := b.clock()
		b.pass(time.Minute)
		b.wall = b.wall.Add(jump)
		b.pass(time.Second)
		wrong := c.Now()
		b.pass(time.Minute)
		c.Check()
		b.wall = b.wall.Add(-jump)
		right := c.Now()
		b.pass(30 * time.Second)
		if age := c.Since(wrong); (age - 90*time.Second).Abs() > 2*tolerance {
			t.Errorf("jump of %v: a record of the wrong clock, 90 s ago, has an age of %v", jump, age)
		}
		if age := c.Since(right); (age - 30*time.Second).Abs() > 2*tolerance {
			t.Errorf("jump of %v: a record of 30 s ago has an age of %v", jump, age)
		}
		if old := c.Now().Add(-100 * time.Hour); c.Since(old) < 99*time.Hour-jump.Abs() {
			t.Errorf("jump of %v: a record of an earlier process has an age of %v", jump, c.Since(old))
		}
	}
}

// A clock that is ahead at a restart makes no record old, and brings no deletion forward. After a day it is believed.
func TestAClockThatIsAheadAtARestart(t *testing.T) {
	t.Parallel()
	for _, down := range []time.Duration{0, time.Second, time.Minute, 10 * 365 * 24 * time.Hour} {
		b := &bench{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
		last := b.wall
		before := last.Add(-10 * time.Minute)
		b.pass(down)
		c := b.clock()
		c.Resume(last)
		start := c.Now()
		for range 60 {
			b.pass(time.Second)
			c.Check()
		}
		if age := c.Since(before); age < 11*time.Minute || age > 11*time.Minute+2*tolerance {
			t.Errorf("%v: a record of 11 min of work ago has an age of %v", down, age)
		}
		if age := c.Since(start); age != time.Minute {
			t.Errorf("%v: a record of a minute ago has an age of %v", down, age)
		}
		if at := c.Earliest(); at.After(last.Add(time.Minute + 2*tolerance)) {
			t.Errorf("%v: deletions are due as of %v", down, at)
		}
		if at := c.Steady(); !at.Equal(b.wall) {
			t.Errorf("%v: waits are due as of %v", down, at)
		}
		b.pass(believed)
		if at := c.Earliest(); !at.Equal(b.wall) {
			t.Errorf("%v: after a day, deletions are due as of %v", down, at)
		}
	}
}
