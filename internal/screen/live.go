package screen

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/policy"
)

// LiveConfig says how live calls are screened.
type LiveConfig struct {
	Intake    Intake
	Policy    policy.Policy
	Segment   capture.SegmenterConfig
	NewVAD    func(rate int) (capture.VAD, error)
	Simulated bool
	// Grace is how long a call stays open for a leg whose connection was lost to come back. Default 60 s.
	Grace time.Duration
	// Linger is how long a call stays open when all its legs have hung up, because another may just be calling. Default 2 s.
	Linger time.Duration
	// Keep is how many ended calls are remembered. Default 10,000.
	Keep int
	// OnChange, if not nil, is called with what is known of a call whenever that has changed.
	OnChange func(LiveReport)
	Log      *slog.Logger
}

// Live holds the calls that are in progress, and those that ended not too long ago. It is safe for concurrent use.
type Live struct {
	cfg     LiveConfig
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	calls map[string]*LiveCall
	order []*LiveCall // oldest first
}

// NewLive makes an empty set of calls. Close must be called.
func NewLive(cfg LiveConfig) *Live {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&cfg.Grace, time.Minute)
	def(&cfg.Linger, 2*time.Second)
	if cfg.Keep == 0 {
		cfg.Keep = 10_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Live{cfg: cfg, ctx: ctx, cancel: cancel, calls: map[string]*LiveCall{}}
}

// LiveCall is a call whose legs are recorded while they speak.
type LiveCall struct {
	live     *Live
	call     *Call
	recorder *capture.Recorder
	started  time.Time
	metadata map[string]string

	mu      sync.Mutex
	legs    int // that are connected
	ended   bool
	ending  *time.Timer
	changed chan struct{} // closed and replaced whenever something has changed
}

// LiveReport is a Report of a live call.
type LiveReport struct {
	Report
	State     string            `json:"state"` // "live" or "ended"
	Final     bool              `json:"final"` // the decision will not change any more
	StartedAt time.Time         `json:"started_at"`
	Metadata  map[string]string `json:"metadata"`
}

// Join adds a leg to a call, which begins with its first leg. The leg must be left again.
func (l *Live) Join(id string, metadata map[string]string, channels []string) (*LiveCall, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		return nil, errors.New("the server is shutting down")
	}
	if c := l.calls[id]; c != nil && c.join() {
		return c, nil
	}
	c := &LiveCall{
		live: l, started: time.Now(), metadata: metadata, legs: 1, changed: make(chan struct{}),
		call: NewCall(CallConfig{ID: id, Metadata: metadata, Policy: l.cfg.Policy, Simulated: l.cfg.Simulated}),
	}
	var err error
	c.recorder, err = capture.NewRecorder(capture.RecorderConfig{
		Segment: l.cfg.Segment, NewVAD: l.cfg.NewVAD,
		NewDecoder: func(leg, mimeType string) (capture.Decoder, int, error) {
			d, err := encode.NewRTPDecoder(mimeType, slices.Index(channels, leg))
			if err != nil {
				return nil, 0, err
			}
			return d, d.Rate(), nil
		},
	})
	if err != nil {
		return nil, err
	}
	l.calls[id] = c
	l.order = append(l.order, c)
	if len(l.order) > l.cfg.Keep {
		l.forget()
	}
	l.running.Go(c.screen)
	return c, nil
}

// forget lets go of the oldest call that has ended.
func (l *Live) forget() {
	for i, c := range l.order {
		if c.isOver() {
			l.order = slices.Delete(l.order, i, i+1)
			if l.calls[c.call.id] == c {
				delete(l.calls, c.call.id)
			}
			return
		}
	}
}

// join adds a leg, unless the call has ended.
func (c *LiveCall) join() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return false
	}
	c.legs++
	if c.ending != nil {
		c.ending.Stop()
		c.ending = nil
	}
	return true
}

func (c *LiveCall) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// Leave takes a leg away. When it was the last one the call ends, soon if it hung up, later if it was lost.
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

// end ends the call if nobody has joined in the meantime.
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

// Record reads a track as a leg of the call.
func (c *LiveCall) Record(ctx context.Context, leg string, track *webrtc.TrackRemote, negotiated []webrtc.RTPCodecParameters) error {
	return c.recorder.Record(ctx, leg, track, negotiated...)
}

// Recorder is what records the call.
func (c *LiveCall) Recorder() *capture.Recorder { return c.recorder }

// screen hands the segments of the call to the intake until the call has ended, and keeps its report up to date until
// it is decided.
func (c *LiveCall) screen() {
	ctx := c.live.ctx
	fetched := make(chan capture.LegSegment)
	var fetch sync.WaitGroup
	fetch.Go(func() {
		defer close(fetched)
		for {
			seg, err := c.recorder.Next(ctx)
			if err != nil {
				if !errors.Is(err, io.EOF) && ctx.Err() == nil {
					c.live.cfg.Log.Error("a call could not be recorded any further", "call", c.call.id, "error", err)
				}
				return
			}
			fetched <- seg
		}
	})
	defer fetch.Wait()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for open := true; open; {
		select {
		case seg, ok := <-fetched:
			if open = ok; !ok {
				break
			}
			s := c.call.Add(seg.Leg, seg.Segment)
			if seg.Skipped == "" {
				if err := c.live.cfg.Intake.Take(ctx, s, seg.Segment); err != nil {
					c.live.cfg.Log.Error("a segment was not analysed", "call", c.call.id, "leg", seg.Leg, "error", err)
				}
			}
			c.update()
		case <-tick.C:
			c.update()
		}
	}
	c.update()
	c.call.End()
	select {
	case <-c.call.Settled():
	case <-ctx.Done():
	}
	c.update()
}

// Touched tells that a segment of a call was settled.
func (l *Live) Touched(call *Call) {
	l.mu.Lock()
	c := l.calls[call.id]
	l.mu.Unlock()
	if c != nil && c.call == call {
		c.update()
	}
}

// update notes how far the legs are, and tells those who wait.
func (c *LiveCall) update() {
	for leg, s := range c.recorder.Stats() {
		c.call.Progress(leg, s.Duration, s.Lost)
	}
	c.mu.Lock()
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	if c.live.cfg.OnChange != nil {
		c.live.cfg.OnChange(c.Report())
	}
}

// Report is what is known of the call now. While it is live, the decision is about what was analysed so far.
func (c *LiveCall) Report() LiveReport {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	r := LiveReport{Report: c.call.Report(), State: "live", StartedAt: c.started, Metadata: c.metadata}
	if r.Metadata == nil {
		r.Metadata = map[string]string{}
	}
	if ended {
		r.State = "ended"
	} else {
		r.Report = c.call.ReportSoFar()
	}
	select {
	case <-c.call.Settled():
		r.Final = true
	default:
		r.Final = r.Decision == "flagged"
	}
	return r
}

// Decided waits until the decision is final, or the context ends, and returns what is known then.
func (c *LiveCall) Decided(ctx context.Context) LiveReport {
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		r := c.Report()
		if r.Final {
			return r
		}
		select {
		case <-changed:
		case <-c.call.Settled():
		case <-ctx.Done():
			return c.Report()
		}
	}
}

// Ended waits until the call has ended and all of it is decided, or the context ends, and returns what is known then.
func (c *LiveCall) Ended(ctx context.Context) LiveReport {
	select {
	case <-c.call.Settled():
	case <-ctx.Done():
	}
	return c.Report()
}

// Call finds a call by its id, nil if there is none.
func (l *Live) Call(id string) *LiveCall {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id]
}

// Calls lists the calls, newest first, that a filter wants.
func (l *Live) Calls(want func(LiveReport) bool) (out []LiveReport) {
	l.mu.Lock()
	all := slices.Clone(l.order)
	l.mu.Unlock()
	slices.Reverse(all)
	for _, c := range all {
		if r := c.Report(); want == nil || want(r) {
			out = append(out, r)
		}
	}
	return out
}

// Each visits every call that is remembered.
func (l *Live) Each(visit func(*LiveCall)) {
	l.mu.Lock()
	all := slices.Clone(l.order)
	l.mu.Unlock()
	for _, c := range all {
		visit(c)
	}
}

// EndAll ends every call, so that what was said is cut and analysed.
func (l *Live) EndAll() {
	l.mu.Lock()
	all := slices.Clone(l.order)
	l.mu.Unlock()
	for _, c := range all {
		c.mu.Lock()
		c.legs = 0
		c.mu.Unlock()
		c.end()
	}
}

// Settle waits until every call is decided, or the context ends.
func (l *Live) Settle(ctx context.Context) {
	l.mu.Lock()
	all := slices.Clone(l.order)
	l.mu.Unlock()
	for _, c := range all {
		if c.isOver() {
			select {
			case <-c.call.Settled():
			case <-ctx.Done():
			}
		}
	}
}

// Close stops everything at once and waits for it. Calls should have been ended and settled before.
func (l *Live) Close() {
	l.EndAll()
	l.cancel()
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.order {
		c.mu.Lock()
		if c.ending != nil {
			c.ending.Stop()
		}
		c.mu.Unlock()
	}
}

// Match tells whether a report matches a search text.
func (r LiveReport) Match(q string) bool {
	if q == "" || strings.Contains(strings.ToLower(r.Call), strings.ToLower(q)) {
		return true
	}
	for _, v := range r.Metadata {
		if strings.Contains(strings.ToLower(v), strings.ToLower(q)) {
			return true
		}
	}
	return false
}
