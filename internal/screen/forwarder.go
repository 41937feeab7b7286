package screen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/clip"
	"callscreen/internal/report"
	"callscreen/internal/retry"
	"callscreen/internal/seal"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// ForwarderConfig says where a courier takes what was recorded.
type ForwarderConfig struct {
	Spool   *spool.Spool
	Audio   audio.Store
	Decider *Decider
	Rate    int // of the WAV files in Hz; 0 means as recorded
	// Keys seal the audio before it touches the disk; nil leaves it as it is.
	Keys *seal.Keys
	// Node is the name of this node if others cannot get at its audio, else "".
	Node string
	// MaxAge is how long audio may wait to be delivered before it is given up, loudly. 0 means for ever.
	MaxAge time.Duration
	// OnPromised, if not nil, is called once a segment is safe on the disk.
	OnPromised func(g store.Segment)
	// Observe, if not nil, is told when the database has a segment.
	Observe func(Step)
	Now     func() time.Time // for tests
	Log     *slog.Logger
}

// Forwarder writes what live calls consist of into the spool, and carries it from there into the audio store and the
// database, in the order of each call, for as long as it takes. Who records never waits for a database.
type Forwarder struct {
	cfg ForwarderConfig

	mu      sync.Mutex
	lanes   map[store.PartKey]*route
	ready   []*route
	waiting int                 // entries in all lanes
	held    map[string]document // what could not be written for want of room
	news    chan struct{}       // has room for one per carrier
	told    time.Time           // when trouble was last told
}

// route is the way of one part. Its entries are delivered one after the other.
type route struct {
	key   store.PartKey
	queue []string
	busy  bool
	since time.Time // when the first entry could not be delivered for the first time
}

const (
	carriers   = 4
	carryAgain = 500 * time.Millisecond // after a failure
)

// NewForwarder makes a courier. What lies in the spool from an earlier time is delivered first: parts that had not ended
// were interrupted.
func NewForwarder(cfg ForwarderConfig) *Forwarder {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Forwarder{cfg: cfg, lanes: map[store.PartKey]*route{}, held: map[string]document{}, news: make(chan struct{}, carriers)}
	c.takeUp()
	return c
}

func (c *Forwarder) takeUp() {
	var segments, interrupted int
	parts := map[string]document{}
	for _, e := range c.cfg.Spool.Entries() {
		doc, err := c.read(e.ID)
		if err != nil {
			c.unreadable(e.ID, err)
			continue
		}
		if doc.Segment != nil {
			c.line(doc.Part.PartKey, e.ID)
			segments++
			continue
		}
		parts[e.ID] = doc
	}
	for id, doc := range parts { // after their segments
		if doc.Part.EndedAt.IsZero() {
			doc.Part.EndedAt, doc.Part.How = doc.At, "interrupted"
			doc.Part.Warnings = append(doc.Part.Warnings, "the recording was interrupted; what had not been cut then is missing")
			if err := c.put(id, doc); err != nil {
				c.cfg.Log.Warn("that a call was interrupted could not be noted, and is kept in memory", "call", doc.Part.Call, "error", err)
			}
			interrupted++
		}
		c.line(doc.Part.PartKey, id)
	}
	if segments+len(parts) > 0 {
		c.cfg.Log.Info("taking up the spool", "segments", segments, "parts", len(parts), "interrupted", interrupted)
	}
}

// line puts an entry at the end of the lane of its part.
func (c *Forwarder) line(key store.PartKey, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.lanes[key]
	if l == nil {
		l = &route{key: key}
		c.lanes[key] = l
	}
	if slices.Contains(l.queue, id) && !strings.HasPrefix(id, partPrefix) {
		return
	}
	l.queue = append(l.queue, id)
	c.waiting++
	if !l.busy && len(l.queue) == 1 {
		c.ready = append(c.ready, l)
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
}

// Progress writes down how far a part is. After an error it is kept in memory only, until it is delivered.
func (c *Forwarder) Progress(p store.Part) error {
	err := c.put(partID(p.PartKey), document{Part: p, At: c.cfg.Now()})
	c.line(p.PartKey, partID(p.PartKey))
	if err != nil {
		return fmt.Errorf("note how far call %s is: %w", p.Call, err)
	}
	return nil
}

// Take keeps a segment. When it returns nil the segment is safe, also if the machine fails. When it returns an error the
// audio is lost, and that is noted in the call.
func (c *Forwarder) Take(p store.Part, seg capture.LegSegment) error {
	g := store.Segment{
		ID:         segmentID(p.PartKey, seg.Leg, seg.Seq, seg.Offset()),
		PartKey:    p.PartKey,
		Leg:        seg.Leg,
		Seq:        seg.Seq,
		Offset:     seg.Offset(),
		Duration:   seg.Duration(),
		Speech:     seg.SpeechDuration(),
		Lost:       seg.LostDuration(),
		RecordedAt: c.cfg.Now(),
		Rate:       seg.Rate,
		State:      store.SegmentRecorded,
	}
	p = store.Part{PartKey: p.PartKey, Metadata: p.Metadata, Simulated: p.Simulated, Legs: p.Legs}
	if seg.Skipped != "" {
		g.State, g.Reason = store.SegmentSkipped, seg.Skipped
		if seg.Skipped == capture.ReasonBacklog { // it was worth an analysis
			g.State, g.Detail = store.SegmentFailed, "its audio was let go of, because it could not be written to the disk in time"
		}
		err := c.put(g.ID, document{Part: p, Segment: &g, At: c.cfg.Now()})
		c.line(p.PartKey, g.ID)
		if err != nil {
			return fmt.Errorf("note a skipped segment of call %s: %w", p.Call, err)
		}
		return nil
	}
	err := c.keep(p, &g, seg.Segment)
	if err != nil {
		g.State, g.Reason, g.Detail, g.AudioKey, g.AudioNode, g.AudioSHA256, g.AudioBytes = store.SegmentFailed, report.ReasonStorage, err.Error(), "", "", "", 0
		err = fmt.Errorf("segment %d of leg %s of call %s is lost: %w", g.Seq, g.Leg, p.Call, err)
		if noted := c.put(g.ID, document{Part: p, Segment: &g, At: c.cfg.Now()}); noted != nil {
			err = fmt.Errorf("%w; that cannot be noted either, and is kept in memory: %w", err, noted)
		}
	}
	c.line(p.PartKey, g.ID)
	return err
}

func (c *Forwarder) keep(p store.Part, g *store.Segment, seg capture.Segment) error {
	seg, err := clip.Resample(seg, c.cfg.Rate)
	if err != nil {
		return err
	}
	g.AudioNode = c.cfg.Node
	g.Rate, g.AudioKey = seg.Rate, audioKey(g.ID)
	g.Voiced = clip.Voiced(seg)
	wav, err := encode.WAV(seg.Rate, seg.PCM)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(wav)
	g.AudioBytes, g.AudioSHA256 = int64(len(wav)), hex.EncodeToString(hash[:])
	if err := c.cfg.Spool.Put(g.ID, g.AudioBytes, func(f *os.File) error {
		return c.cfg.Keys.Write(f, wav)
	}, func() ([]byte, error) { return json.Marshal(document{Part: p, Segment: g, At: c.cfg.Now()}) }); err != nil {
		return err
	}
	// From here on it is decided or reported failed, whatever happens. Crash tests hold the program to this line.
	c.cfg.Log.Debug("a segment is safe", "call", g.Call, "segment", g.ID)
	if c.cfg.OnPromised != nil {
		c.cfg.OnPromised(*g)
	}
	return nil
}

// Run delivers until the context ends.
func (c *Forwarder) Run(ctx context.Context) {
	var all sync.WaitGroup
	for range carriers {
		all.Go(func() {
			for ctx.Err() == nil {
				l := c.next()
				if l == nil {
					select {
					case <-c.news:
					case <-ctx.Done():
					}
					continue
				}
				c.carry(ctx, l)
			}
		})
	}
	all.Wait()
}

// next takes a lane that nobody else works on.
func (c *Forwarder) next() *route {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) == 0 {
		return nil
	}
	l := c.ready[0]
	c.ready = c.ready[1:]
	l.busy = true
	if len(c.ready) > 0 {
		select {
		case c.news <- struct{}{}:
		default:
		}
	}
	return l
}

// carry delivers the first entry of a lane.
func (c *Forwarder) carry(ctx context.Context, l *route) {
	c.mu.Lock()
	id := l.queue[0]
	c.mu.Unlock()
	err := c.deliver(ctx, l, id)
	if err != nil && ctx.Err() == nil {
		c.failed(l, err)
		c.giveUpOld(l)
		_ = retry.Sleep(ctx, carryAgain)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.busy = false
	if err == nil {
		l.queue = l.queue[1:]
		c.waiting--
		c.recovered(l)
	}
	if len(l.queue) == 0 {
		delete(c.lanes, l.key)
		return
	}
	c.ready = append(c.ready, l)
	select {
	case c.news <- struct{}{}:
	default:
	}
}

// failed tells of a failure, once a minute at most.
func (c *Forwarder) failed(l *route, err error) {
	c.mu.Lock()
	now := c.cfg.Now()
	if l.since.IsZero() {
		l.since = now
	}
	tell := now.Sub(c.told) > time.Minute
	if tell {
		c.told = now
	}
	waiting := c.waiting
	c.mu.Unlock()
	if tell {
		c.cfg.Log.Error(
			"what was recorded waits in the spool, and is delivered as soon as possible",
			"call",
			l.key.Call,
			"waiting",
			waiting,
			"error",
			err,
			"hint",
			"nothing is lost; bring the database or the audio store back",
		)
	}
}

// recovered tells when everything can be delivered again. The lock must be held.
func (c *Forwarder) recovered(l *route) {
	since := l.since
	l.since = time.Time{}
	if since.IsZero() || !c.trouble().IsZero() {
		return
	}
	c.cfg.Log.Info("the spool is delivered again", "waiting", c.waiting, "after", c.cfg.Now().Sub(since).Round(time.Second))
	c.told = time.Time{}
}

// trouble is since when there is something that cannot be delivered, zero if all is well. The lock must be held.
func (c *Forwarder) trouble() (since time.Time) {
	for _, l := range c.lanes {
		if !l.since.IsZero() && (since.IsZero() || l.since.Before(since)) {
			since = l.since
		}
	}
	return since
}

// Waiting is how many entries are not delivered, and since when some cannot be, zero if all is well.
func (c *Forwarder) Waiting() (entries int, trouble time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting, c.trouble()
}

// Parts adds the parts that have something to be delivered.
func (c *Forwarder) Parts(to map[store.PartKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.lanes {
		to[k] = true
	}
}

// Drain waits until everything is delivered, or the context ends.
func (c *Forwarder) Drain(ctx context.Context) error {
	for {
		if n, _ := c.Waiting(); n == 0 {
			return nil
		}
		if err := retry.Sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
