package app

import (
	"errors"
	"sync"
	"time"
)

// latest computes a value when it is asked for, one at a time, and gives out the last one if that takes too long: a request for
// it never waits for a lock that a leg, a write or a query holds. It is safe for concurrent use.
type latest[T any] struct {
	compute func() T
	wait    time.Duration

	mu      sync.Mutex
	running chan struct{} // closed at the end of the computation; nil if there is none
	value   T
	at      time.Time // start of the computation of value, zero before the first
}

// answersWithin is the time in which /metrics and /readyz answer, with some room for the way.
const answersWithin = 700 * time.Millisecond

func newLatest[T any](compute func() T) *latest[T] {
	return &latest[T]{compute: compute, wait: answersWithin}
}

// get returns the value and the time of its computation, which is zero if none has ended yet.
func (l *latest[T]) get() (value T, at time.Time) {
	l.mu.Lock()
	if l.running == nil {
		l.running = make(chan struct{})
		go l.run(l.running, time.Now())
	}
	running := l.running
	l.mu.Unlock()
	t := time.NewTimer(l.wait)
	defer t.Stop()
	select {
	case <-running:
	case <-t.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.at
}

func (l *latest[T]) run(done chan struct{}, start time.Time) {
	value := l.compute()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.at, l.running = value, start, nil
	close(done)
}

// end waits for a computation under way, within reason, so that it uses nothing that is closed next.
func (l *latest[T]) end() error {
	l.mu.Lock()
	running := l.running
	l.mu.Unlock()
	if running == nil {
		return nil
	}
	select {
	case <-running:
		return nil
	case <-time.After(endsWithin):
		return errors.New("it still runs")
	}
}

// endsWithin exceeds the time of the queries of a computation.
const endsWithin = 5 * time.Second
