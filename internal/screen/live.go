package screen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/store"
)

// LiveConfig describes a Live.
type LiveConfig struct {
	Book      Book
	Node      string // name of this node
	Segment   capture.SegmenterConfig
	NewVAD    func(rate int) (capture.VAD, error)
	Simulated bool
	// Grace is how long a call stays open after its last leg lost the connection. Default 60 s.
	Grace time.Duration
	// Linger is how long a call stays open after all legs have hung up, for another leg that is about to join. Default 2
	// s.
	Linger time.Duration
	Log    *slog.Logger
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
	Legs      int // being recorded
	Packets   capture.Stats
	Concealed time.Duration
	Dropped   uint64
}

// NewLive returns an empty set of calls. Close must be called.
func NewLive(cfg LiveConfig) *Live {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Grace, time.Minute)
	def(&cfg.Linger, 2*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Live{
		cfg:    cfg,
		ctx:    ctx,
		cancel: cancel,
		calls:  map[string]*LiveCall{},
		all:    map[*LiveCall]bool{},
	}
}

// LiveCall is a call in progress.
type LiveCall struct {
	live     *Live
	part     store.Part
	recorder *capture.Recorder

	began chan struct{} // a leg has begun and must be stored

	mu     sync.Mutex
	cut    map[string]int // number of segments by leg, also 0
	legs   int            // connected
	ended  bool
	ending *time.Timer
}

// Join adds a leg to a call, which begins with its first leg. Each Join needs a Leave.
func (l *Live) Join(id string, metadata map[string]string, channels []string) (*LiveCall, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.New("the server is shutting down")
	}
	if c := l.calls[id]; c != nil && c.join(metadata) {
		return c, nil
	}
	c := &LiveCall{
		live:  l,
		legs:  1,
		cut:   map[string]int{},
		began: make(chan struct{}, 1),
		part: store.Part{
			PartKey:   store.PartKey{Call: id, Part: time.Now().UnixMilli(), Node: l.cfg.Node},
			Metadata:  metadata,
			Simulated: l.cfg.Simulated,
		},
	}
	var err error
	c.recorder, err = capture.NewRecorder(capture.RecorderConfig{
		Segment: l.cfg.Segment, NewVAD: l.cfg.NewVAD,
		NewDecoder: func(leg, mimeType string) (capture.Decoder, error) {
			return encode.NewRTPDecoder(mimeType, slices.Index(channels, leg))
		},
	})
	if err != nil {
		return nil, err
	}
	if before := l.calls[id]; before != nil { // the previous part has just ended
		c.part.Part = max(c.part.Part, before.part.Part+1)
	}
	l.calls[id], l.all[c] = c, true
	l.running.Go(c.record)
	return c, nil
}

// join adds a leg and its metadata, unless the call has ended.
func (c *LiveCall) join(metadata map[string]string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.legs++
	known := maps.Clone(c.part.Metadata) // the old map is read concurrently
	for k, v := range metadata {
		if _, ok := known[k]; !ok {
			if known == nil {
				known = map[string]string{}
			}
			known[k] = v
		}
	}
	c.part.Metadata = known
	if c.ending != nil {
		c.ending.Stop()
		c.ending = nil
	}
	return true
}

// Leave removes a leg. After the last one the call ends: soon if the leg hung up, later if its connection was lost.
func (c *LiveCall) Leave(lost bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.legs--; c.legs > 0 || c.ended {
		return
	}
	wait := c.live.cfg.Linger
	if lost {
		wait = c.live.cfg.Grace
	}
	c.ending = time.AfterFunc(wait, c.end)
}

// end ends the call unless a leg has joined in the meantime.
func (c *LiveCall) end() {
	c.mu.Lock()
	if c.legs > 0 || c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	c.mu.Unlock()
	c.recorder.End()
}

// Record records a track as a leg of the call. The leg is stored at once: if the process dies before the first cut, the
// call must not be clear without it.
func (c *LiveCall) Record(ctx context.Context, leg string, track capture.Track, negotiated ...webrtc.RTPCodecParameters) error {
	c.begin(leg)
	return c.recorder.Record(ctx, leg, track, negotiated...)
}

func (c *LiveCall) begin(leg string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.cut[leg]; known {
		return
	}
	c.cut[leg] = 0
	select {
	case c.began <- struct{}{}:
	default:
	}
}

// Recorder returns the recorder of the call.
func (c *LiveCall) Recorder() *capture.Recorder { return c.recorder }

// saveEvery is the longest time between two saves of the progress.
const saveEvery = 30 * time.Second

// record stores the segments of the call until it has ended.
func (c *LiveCall) record() {
	defer c.live.forget(c)
	log := c.live.cfg.Log
	c.save(time.Time{})
	ctx := c.live.ctx
	fetched := make(chan capture.LegSegment)
	var fetch sync.WaitGroup
	fetch.Go(func() {
		defer close(fetched)
		for {
			seg, err := c.recorder.Next(ctx)
			if err != nil {
				if !errors.Is(err, io.EOF) && ctx.Err() == nil {
					log.Error("recording failed", "call", c.part.Call, "error", err)
				}
				return
			}
			fetched <- seg
		}
	})
	defer fetch.Wait()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for open := true; open; {
		select {
		case seg, ok := <-fetched:
			if open = ok; !ok {
				break
			}
			c.mu.Lock()
			c.cut[seg.Leg]++
			c.mu.Unlock()
			p := c.Begun()
			p.Legs = c.Legs()
			if err := c.live.cfg.Book.Take(p, seg); err != nil {
				log.Error("saving segment failed", "call", c.part.Call, "leg", seg.Leg, "error", err)
			}
		case <-tick.C:
			c.save(time.Time{})
		case <-c.began:
			c.save(time.Time{})
		}
	}
	c.save(time.Now())
}

// save stores the progress of the call.
func (c *LiveCall) save(ended time.Time) {
	p := c.Begun()
	p.EndedAt = ended
	p.Legs = c.Legs()
	if err := c.live.cfg.Book.Progress(p); err != nil {
		c.live.cfg.Log.Error("saving call progress failed", "call", p.Call, "error", err)
	}
}

// Legs returns the progress of each leg.
func (c *LiveCall) Legs() (list []store.Leg) {
	stats := c.recorder.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	for leg, n := range c.cut {
		s := stats[leg]
		list = append(list, store.Leg{
			PartKey:  c.part.PartKey,
			Leg:      leg,
			Duration: s.Duration,
			Lost:     s.Lost,
			Segments: n,
		})
	}
	return list
}

// Begun returns the part without its progress.
func (c *LiveCall) Begun() store.Part {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.part
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

func (t *Totals) add(c *LiveCall) {
	t.Dropped += c.recorder.Dropped()
	for _, s := range c.recorder.Stats() {
		if s.Recording {
			t.Legs++
		}
		t.Packets.Received += s.Packets.Received
		t.Packets.Missing += s.Packets.Missing
		t.Packets.Late += s.Packets.Late
		t.Packets.Repaired += s.Packets.Repaired
		t.Concealed += capture.Duration(s.Packets.Concealed, s.Rate)
	}
}

// Totals returns sums over the calls in progress and the earlier ones.
func (l *Live) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.past
	for c := range l.all {
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
		c.legs = 0
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
