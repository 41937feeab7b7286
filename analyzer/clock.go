package analyzer

import "time"

// Clock tells the time and waits. The zero Options use the clock of the machine; a test brings its own.
type Clock interface {
	Now() time.Time
	// After returns a channel that gets a value once d has passed, and what stops it before that.
	After(d time.Duration) (c <-chan time.Time, stop func())
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) After(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTimer(d)
	return t.C, func() { t.Stop() }
}

// timer lets package backoff wait on a Clock.
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
