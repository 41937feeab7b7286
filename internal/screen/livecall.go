package screen

import (
	"errors"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// LiveCall is a call in progress.
type LiveCall struct {
	live     *Live
	part     store.Part
	began    time.Time // with a monotonic reading
	recorder *capture.Recorder

	changed chan struct{} // progress must be saved

	saving sync.Mutex // guards the field below, and keeps the saves in order
	stored bool       // the end is saved

	mu        sync.Mutex
	legs      map[string]*liveLeg
	warnings  []string
	sessions  int // connected
	takenOver int // sessions
	ended     bool
	ending    *time.Timer
	reported  map[string]bool // legs whose ledger does not close

	mono monoSource // used by record alone
}

// liveLeg holds the state of a leg apart from its recording.
type liveLeg struct {
	segments int
	metadata []map[string]string // that its senders announced; more than one if they disagree
	bound    bool
	channel  int          // of a stereo track, -1 for all
	holder   *LiveSession // that records, or has announced the leg
	broken   bool         // the connection of the last session was lost
	// wasBroken and received are broken and the received packets when the session of the holder began to record.
	wasBroken bool
	received  uint64
}

// maxAlternatives bounds the metadata that the senders of one leg announce.
const maxAlternatives = 8

func newLiveCall(l *Live, a Announced) (*LiveCall, error) {
	began := time.Now()
	c := &LiveCall{
		began:    began,
		live:     l,
		legs:     map[string]*liveLeg{},
		reported: map[string]bool{},
		changed:  make(chan struct{}, 1),
		part: store.Part{
			PartKey:   store.PartKey{Call: a.Call, Part: l.cfg.Now().UnixMilli(), Node: l.cfg.Node},
			Simulated: l.cfg.Simulated,
		},
	}
	var err error
	c.recorder, err = capture.NewRecorder(capture.RecorderConfig{
		Segment: l.cfg.Segment,
		NewVAD:  l.cfg.NewVAD,
		NewDecoder: func(leg, mimeType string) (capture.Decoder, error) {
			return encode.NewRTPDecoder(mimeType, c.channel(leg))
		},
	})
	return c, err
}

// channel returns the channel of a stereo track that a leg is, -1 for all.
func (c *LiveCall) channel(leg string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.legs[leg]; l != nil {
		return l.channel
	}
	return -1
}

// join adds a session and its legs, unless the call has ended.
func (c *LiveCall) join(a Announced) (*LiveSession, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return nil, false
	}
	s := &LiveSession{call: c, legs: a.Legs, recorded: map[string]bool{}}
	c.sessions++
	for i, name := range a.Legs {
		l := c.legs[name]
		if l == nil {
			l = &liveLeg{channel: -1}
			c.legs[name] = l
			c.recorder.Announce(name)
		}
		l.announce(a, s)
		if len(a.Legs) > 1 {
			l.channel = i
		} else {
			l.channel = -1
		}
	}
	c.part.Metadata = merged(c.part.Metadata, a.Metadata)
	if c.ending != nil {
		c.ending.Stop()
		c.ending = nil
	}
	return s, true
}

func (l *liveLeg) announce(a Announced, s *LiveSession) {
	known := slices.ContainsFunc(l.metadata, func(m map[string]string) bool { return maps.Equal(m, a.Metadata) })
	if !known && len(l.metadata) < maxAlternatives {
		l.metadata = append(l.metadata, maps.Clone(a.Metadata))
	}
	l.bound = a.Bound
	if l.holder == nil {
		l.holder = s
	}
}

// merged returns the metadata that are known with those that are added. Known values stay. The old map is not changed: it is
// read concurrently.
func merged(known, added map[string]string) map[string]string {
	all := maps.Clone(known)
	for k, v := range added {
		if _, ok := all[k]; !ok {
			put(&all, k, v)
		}
	}
	return all
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

// change asks for a save of the progress.
func (c *LiveCall) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Warn adds a remark for the readers of the report.
func (c *LiveCall) Warn(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.warnings, text) && len(c.warnings) < 20 {
		c.warnings = append(c.warnings, text)
		c.change()
	}
}

// end ends the call unless a session has joined in the meantime.
func (c *LiveCall) end() {
	c.mu.Lock()
	if c.sessions > 0 || c.ended {
		c.mu.Unlock()
		return
	}
	c.ended = true
	c.mu.Unlock()
	c.recorder.End()
}

// Recorder returns the recorder of the call.
func (c *LiveCall) Recorder() *capture.Recorder { return c.recorder }

// saveEvery is the longest time between two saves of the progress.
const saveEvery = 30 * time.Second

// record stores the segments of the call until it has ended.
func (c *LiveCall) record() {
	defer c.live.forget(c)
	log := c.live.cfg.Log
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
			if open = ok; ok {
				c.take(seg)
			}
		case <-tick.C:
			c.save(time.Time{})
		case <-c.changed:
			c.save(time.Time{})
		}
	}
	c.save(time.UnixMilli(c.part.Part).Add(time.Since(c.began)).UTC()) // not by a clock that may have been set meanwhile
}

// take stores a segment. One that cannot be stored is moved to the unrecorded audio of its leg.
func (c *LiveCall) take(seg capture.LegSegment) {
	c.mu.Lock()
	shared := false
	if l := c.legs[seg.Leg]; l != nil {
		l.segments++
		shared = l.channel >= 0
	}
	c.mu.Unlock()
	if shared {
		if c.mono.other(seg) != "" {
			c.Warn("mono_source: both channels of the track have the same audio, which was analysed once")
			seg.PCM, seg.Voiced, seg.Pieces, seg.Skipped = nil, nil, nil, ReasonMonoSource
		}
	}
	p := c.Begun()
	p.Legs = c.Legs()
	if err := c.live.cfg.Book.Take(p, seg); err != nil {
		c.live.cfg.Log.Error("saving segment failed", "call", c.part.Call, "leg", seg.Leg, "error", err)
		c.recorder.Discard(seg.Leg, capture.UnrecordedDisk, seg.Segment)
	}
}

// save stores the progress of the call. Nothing is saved after its end.
func (c *LiveCall) save(ended time.Time) {
	c.saving.Lock()
	defer c.saving.Unlock()
	if c.stored {
		return
	}
	c.stored = !ended.IsZero()
	p := c.Begun()
	p.EndedAt = ended
	p.Legs = c.Legs()
	if err := c.live.cfg.Book.Progress(p); err != nil {
		c.live.cfg.Log.Error("saving call progress failed", "call", p.Call, "error", err)
	}
}

// Legs returns the progress of each leg.
func (c *LiveCall) Legs() (list []store.LegProgress) {
	stats := c.recorder.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, l := range c.legs {
		s := stats[name]
		ledger, _ := c.recorder.Ledger(name)
		c.check(name, ledger)
		leg := store.LegProgress{
			PartKey:  c.part.PartKey,
			Leg:      name,
			Duration: s.Duration,
			Lost:     ledger.Lost.Time, // of the network; without the time in which the leg had no sender
			Segments: l.segments,
			Ledger:   report.OfLeg(ledger, s.Heard[capture.Noise]),
			Metadata: l.metadata,
			Bound:    l.bound,
		}
		leg.Ledger.Interrupted = l.broken
		list = append(list, leg)
	}
	return list
}

// check logs a ledger that does not close, once for each leg. It is a defect of the recorder.
func (c *LiveCall) check(leg string, ledger capture.Ledger) {
	if err := ledger.Check(); err != nil && !c.reported[leg] {
		c.reported[leg] = true
		c.live.cfg.Log.Warn("ledger does not close", "call", c.part.Call, "leg", leg, "error", err)
	}
}

// Begun returns the part without its progress.
func (c *LiveCall) Begun() store.Part {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.part
	p.Warnings = slices.Clone(c.warnings)
	return p
}
