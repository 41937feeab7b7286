package screen

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"callscreen/analyzer"
)

const (
	heartbeatEvery = 2 * time.Second
	heartbeatTime  = 3 * time.Second // for one attempt
	// leaseFor is the time that a heartbeat lets a node work. It is over, and the requests of the node are cut off, well before
	// another node takes over.
	leaseFor = 12 * time.Second
	// silentAfter is the time without a heartbeat after which others take over.
	silentAfter = 20 * time.Second
)

// errLeaseLost is the cause of the cancellation of requests of a node that could not renew its lease.
var errLeaseLost = errors.New("the lease of this node has run out")

// Lease is the right of a node to use the analysis API and to end the calls of silent nodes. Heartbeats renew it. It runs out
// by monotonic time, also while the query of a heartbeat hangs. A nil Lease is always held.
type Lease struct {
	mu       sync.Mutex
	until    time.Time
	held     context.Context // ends with the lease; nil before the first renewal
	lose     context.CancelCauseFunc
	timer    *time.Timer
	underWay int // requests
}

// Held reports whether the node may work.
func (l *Lease) Held() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The timer of a process that was frozen may be late.
	return l.held != nil && l.held.Err() == nil && time.Now().Before(l.until)
}

// renew extends the lease. start is the time before the heartbeat was sent.
func (l *Lease) renew(start time.Time) {
	left := leaseFor - time.Since(start)
	if l == nil || left <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = start.Add(leaseFor)
	if l.timer != nil && l.timer.Stop() {
		l.timer.Reset(left)
		return
	}
	ctx, lose := context.WithCancelCause(context.Background())
	l.held, l.lose = ctx, lose
	l.timer = time.AfterFunc(left, func() { lose(errLeaseLost) })
}

// end ends the lease at once.
func (l *Lease) end() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer != nil {
		l.timer.Stop()
		l.lose(errLeaseLost)
		l.timer = nil
	}
}

// idle reports whether no request is under way.
func (l *Lease) idle() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.underWay == 0
}

// bind returns a context that ends with the lease. done must be called.
func (l *Lease) bind(ctx context.Context) (bound context.Context, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound, cancel := context.WithCancelCause(ctx)
	if l.held == nil || !time.Now().Before(l.until) {
		cancel(errLeaseLost)
		return bound, func() {}
	}
	stop := context.AfterFunc(l.held, func() { cancel(errLeaseLost) })
	l.underWay++
	return bound, func() {
		stop()
		cancel(nil)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.underWay--
	}
}

// leased is an API whose requests end with a lease.
type leased struct {
	API
	lease *Lease
}

// Submit implements API.
func (a leased) Submit(ctx context.Context, clip analyzer.Audio) (analyzer.Job, error) {
	ctx, done := a.lease.bind(ctx)
	defer done()
	open, ended := clip.Open, new(atomic.Bool)
	clip.Open = func() (io.ReadCloser, error) {
		f, err := open()
		return leasedClip{f, a.lease, ended}, err
	}
	job, err := a.API.Submit(ctx, clip)
	if err != nil && ended.Load() { // not a fault of the clip
		err = &analyzer.Error{Op: "submit", Kind: analyzer.KindCanceled, Err: errLeaseLost}
	}
	return job, err
}

// leasedClip is an upload that ends with a lease. A process that was frozen before it has sent its clip would send it before the timer
// of the lease has ended the request.
type leasedClip struct {
	io.ReadCloser
	lease *Lease
	ended *atomic.Bool
}

// Read implements io.Reader.
func (c leasedClip) Read(p []byte) (int, error) {
	if !c.lease.Held() {
		c.ended.Store(true)
		return 0, errLeaseLost
	}
	return c.ReadCloser.Read(p)
}

// Wait implements API.
func (a leased) Wait(ctx context.Context, id string) (analyzer.Result, error) {
	ctx, done := a.lease.bind(ctx)
	defer done()
	return a.API.Wait(ctx, id)
}
