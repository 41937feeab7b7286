package screen

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/internal/store"
)

// LiveConfig describes a Live.
type LiveConfig struct {
	Book      Book
	Node      string // name of this node
	Segment   capture.SegmenterConfig
	NewVAD    func(rate int) (capture.VAD, error)
	Simulated bool
	// Grace is the time that a call stays open after its last leg lost the connection. Default 60 s.
	Grace time.Duration
	// Unheard bounds Grace for a call without a packet: its sender can try again, but there is nothing to come back to.
	// Default 10 s.
	Unheard time.Duration
	// Linger is the time that a call stays open after all legs have hung up, so that another leg can join. Default 2 s.
	Linger time.Duration
	// Now returns the time at which calls begin. Default: that of the machine.
	Now func() time.Time
	Log *slog.Logger
}

// Book stores live calls. Its methods must not wait for the database.
type Book interface {
	// Progress stores the progress of a part, and its end.
	Progress(p store.Part) error
	// Take stores a segment. After an error its audio is lost, and the call reports that.
	Take(p store.Part, seg capture.LegSegment) error
}

// Live holds the calls in progress on this node. It is safe for concurrent use.
type Live struct {
	cfg     LiveConfig
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu     sync.Mutex
	calls  map[string]*LiveCall
	all    map[*LiveCall]bool // also ended ones that are being stored
	past   Totals             // of the calls that were removed
	closed bool
}

// Totals are sums over all legs since the start.
type Totals struct {
	Legs       int // being recorded
	Packets    capture.Stats
	Concealed  time.Duration
	Dropped    uint64
	Unrecorded map[string]int64 // packets that arrived and were not recorded, by reason
	Unclosed   int              // ledgers whose sums do not close
	TakenOver  int              // sessions that another one took over
}

// NewLive returns an empty set of calls. Close must be called.
func NewLive(cfg LiveConfig) *Live {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Grace, time.Minute)
	def(&cfg.Unheard, 10*time.Second)
	def(&cfg.Linger, 2*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Live{
		cfg:    cfg,
		ctx:    ctx,
		cancel: cancel,
		calls:  map[string]*LiveCall{},
		all:    map[*LiveCall]bool{},
		past:   Totals{Unrecorded: map[string]int64{}},
	}
}

// Announced holds the call, the legs and the metadata that a sender announces when it joins.
type Announced struct {
	Call     string
	Legs     []string          // two if they share a stereo track, in the order of its channels
	Metadata map[string]string // of the call
	// Bound means that the sender may send these legs only, so that its metadata hold for no other leg.
	Bound bool
}

// Join adds the legs of a sender to a call, which begins with its first leg. The session must be left.
//
// The legs are stored before Join returns, so before the sender has an answer and can send: if the process dies then, the
// call must not be clear without them.
func (l *Live) Join(a Announced) (*LiveSession, error) {
	s, err := l.join(a)
	if err == nil {
		s.call.save(time.Time{})
	}
	return s, err
}

func (l *Live) join(a Announced) (*LiveSession, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the server is shutting down")
	}
	if c := l.calls[a.Call]; c != nil {
		if s, ok := c.join(a); ok {
			return s, nil
		}
	}
	c, err := newLiveCall(l, a)
	if err != nil {
		return nil, err
	}
	if before := l.calls[a.Call]; before != nil { // the previous part has just ended
		c.part.Part = max(c.part.Part, before.part.Part+1)
	}
	s, _ := c.join(a)
	l.calls[a.Call], l.all[c] = c, true
	l.running.Go(c.record)
	return s, nil
}

func (t *Totals) add(c *LiveCall) {
	t.Dropped += c.recorder.Dropped()
	c.mu.Lock()
	t.TakenOver += c.takenOver
	c.mu.Unlock()
	for name, s := range c.recorder.Stats() {
		if ledger, ok := c.recorder.Ledger(name); ok {
			if ledger.Check() != nil {
				t.Unclosed++
			}
			for reason, a := range ledger.Unrecorded {
				t.Unrecorded[string(reason)] += a.Packets
			}
		}
		if s.Recording {
			t.Legs++
		}
		t.Packets.Received += s.Packets.Received
		t.Packets.Missing += s.Packets.Missing
		t.Packets.Late += s.Packets.Late
		t.Packets.Repaired += s.Packets.Repaired
		if s.Rate > 0 { // a track was recorded
			t.Concealed += capture.Duration(s.Packets.Concealed, s.Rate)
		}
	}
}

// forget removes a call that has ended and is stored.
func (l *Live) forget(c *LiveCall) {
	// A part that began within the same millisecond would have the same key.
	time.Sleep(time.Until(time.UnixMilli(c.part.Part + 1)))
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, c)
	if l.calls[c.part.Call] == c {
		delete(l.calls, c.part.Call)
	}
	l.past.add(c)
	l.past.Legs = 0
}

// Totals returns sums over the calls in progress and the earlier ones.
func (l *Live) Totals() Totals {
	l.mu.Lock()
	t := l.past
	t.Unrecorded = maps.Clone(t.Unrecorded)
	all := slices.Collect(maps.Keys(l.all))
	l.mu.Unlock()
	for _, c := range all { // without the lock, which a leg that joins needs
		t.add(c)
	}
	return t
}

// Call returns a call in progress on this node, nil if there is none.
func (l *Live) Call(id string) *LiveCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id]
}

// Parts adds the parts that are being recorded.
func (l *Live) Parts(to map[store.PartKey]bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.all {
		to[c.part.PartKey] = true
	}
}

// EndAll ends every call: the rest of its speech is cut and stored.
func (l *Live) EndAll() {
	l.mu.Lock()
	all := slices.Collect(maps.Keys(l.all))
	l.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		c.sessions = 0
		if c.ending != nil {
			c.ending.Stop()
		}
		c.mu.Unlock()
		c.end()
	}
}

// Close ends every call and waits until all of it is stored. No call can begin after that.
func (l *Live) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.EndAll()
	l.running.Wait()
	l.cancel()
}
