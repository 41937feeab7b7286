package analyzer

import "time"

// Clock returns the time and waits. The default is the system clock; tests use their own.
type Clock interface {
	Now() time.Time
	// After returns a channel that receives a value after d, and a function that stops the timer.
	After(d time.Duration) (c <-chan time.Time, stop func())
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// timer adapts a Clock to package backoff.
type timer struct {
	clock Clock
	c     <-chan time.Time
	stop  func()
}

func (t *timer) Start(d time.Duration) {
	t.Stop()
	t.c, t.stop = t.clock.After(d)
}

func (t *timer) Stop() {
	if t.stop != nil {
		t.stop()
	}
}

func (t *timer) C() <-chan time.Time { return t.c }
