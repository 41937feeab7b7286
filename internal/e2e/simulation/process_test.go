package simulation_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// errGone is the error of everything that a killed process tries.
var errGone = errors.New("the process is gone")

// process is the connection of one node to the world: all of its statements and requests pass here.
type process struct {
	name    string
	wrong   func(format string, args ...any)
	changes *atomic.Int64 // of the queue, by all nodes

	mu     sync.Mutex
	rng    *rand.Rand
	dead   bool
	frozen chan struct{} // closed when it goes on; nil while it runs
	rate   float64       // of statements that fail
	ahead  time.Duration // of its clock
	blind  bool          // it does not see the audio
	full   bool          // the audio store takes nothing
	// generation is that with which the process holds the name of its node, 0 before.
	generation int64
	hurt       time.Time // when it was disturbed last
}

// pass waits while the process is frozen. It returns an error when it is killed, or when the context ends.
func (p *process) pass(ctx context.Context) error {
	for {
		p.mu.Lock()
		dead, frozen := p.dead, p.frozen
		p.mu.Unlock()
		switch {
		case dead:
			return errGone
		case frozen == nil:
			return ctx.Err()
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *process) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// chance reports true with a probability.
func (p *process) chance(of float64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rng.Float64() < of
}

func (p *process) statementFails() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 && p.rng.Float64() < p.rate {
		p.hurt = time.Now()
		return true
	}
	return false
}

// freeze stops the process until thaw.
func (p *process) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt = time.Now()
	if p.frozen == nil {
		p.frozen = make(chan struct{})
	}
}

func (p *process) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		p.hurt = time.Now()
		close(p.frozen)
		p.frozen = nil
	}
}

func (p *process) set(change func(p *process)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt = time.Now()
	change(p)
}

// now is the clock of the process.
func (p *process) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Add(p.ahead)
}

// disturbed reports whether anything was wrong with the process since a time.
func (p *process) disturbed(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead || p.frozen != nil || p.rate > 0 || !p.hurt.Before(since)
}
