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
	"callscreen/internal/seal"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// ForwarderConfig describes a Forwarder.
type ForwarderConfig struct {
	Spool   *spool.Spool
	Audio   audio.Store
	Decider *Decider
	Rate    int // of the WAV files in Hz; 0 means as recorded
	// Keys seal the audio before it touches the disk. nil stores it as it is.
	Keys *seal.Keys
	// Node is the name of this node if no other node can read its audio, else "".
	Node string
	// MaxAge is the longest time that audio waits for delivery. After it, the audio is deleted and its segment fails. 0: no
	// limit.
	MaxAge time.Duration
	// Keep is the time for which the document of a delivered entry is kept. Then the entry is delivered again if the database
	// has lost it. 0: it is not kept.
	Keep time.Duration
	// OnPromised, if not nil, is called once a segment is safe on the disk.
	OnPromised func(g store.SegmentRow)
	// Observe, if not nil, gets a step once the database has a segment.
	Observe func(Step)
	Now     func() time.Time // for tests
	// Since returns the age of a time that Now has returned. Default: their difference.
	Since func(time.Time) time.Duration
	Log   *slog.Logger
}

// Forwarder writes recorded calls into the spool, and forwards them from there to the audio store and the database, in
// the order of each call, until they are delivered. Recording never waits for the database.
type Forwarder struct {
	cfg ForwarderConfig

	mu      sync.Mutex
	lanes   map[store.PartKey]*route
	ready   []*route
	waiting int                 // entries in all lanes
	held    map[string]document // what could not be written for want of room
	news    chan struct{}       // has room for one per carrier
	told    time.Time           // when trouble was last told
	kept    []keptEntry         // the one that was delivered first comes first
}

// route is the queue of one part. Its entries are delivered one after the other.
type route struct {
	key   store.PartKey
	queue []string
	busy  bool
	since time.Time // when the first entry could not be delivered for the first time
	// erased is set once an entry was deleted because its call was erased. Only the carrier of the queue uses it.
	erased bool
}

// interruptedWarning is the warning of a call whose recording process died.
const interruptedWarning = "the recording was interrupted; audio after the last cut is missing"

const (
	carriers   = 4
	carryAgain = 500 * time.Millisecond // after a failure
)

// NewForwarder returns a Forwarder. Entries that an earlier process left in the spool are delivered first: parts among
// them that had not ended were interrupted.
func NewForwarder(cfg ForwarderConfig) *Forwarder {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Since == nil {
		cfg.Since = func(t time.Time) time.Duration { return cfg.Now().Sub(t) }
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
			doc.Part.Warnings = append(doc.Part.Warnings, interruptedWarning)
			if err := c.put(id, doc); err != nil {
				c.cfg.Log.Warn("saving call interruption failed; kept in memory", "call", doc.Part.Call, "error", err)
			}
			interrupted++
		}
		c.line(doc.Part.PartKey, id)
	}
	if segments+len(parts) > 0 {
		c.cfg.Log.Info("spool taken up", "segments", segments, "parts", len(parts), "interrupted", interrupted)
	}
}

// line appends an entry to the queue of its part.
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

// Progress spools the progress of a part. After an error it is kept in memory until it is delivered.
func (c *Forwarder) Progress(p store.Part) error {
	err := c.put(partID(p.PartKey), document{Part: p, At: c.cfg.Now()})
	c.line(p.PartKey, partID(p.PartKey))
	if err != nil {
		return fmt.Errorf("save progress of call %s: %w", p.Call, err)
	}
	return nil
}

// Take spools a segment. When it returns nil the segment survives a crash of the machine. When it returns an error the
// audio is lost, and the call reports that.
func (c *Forwarder) Take(p store.Part, seg capture.LegSegment) error {
	g := store.SegmentRow{
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
			g.State, g.Detail = store.SegmentFailed, "its audio was dropped because the disk was too slow"
		}
		err := c.put(g.ID, document{Part: p, Segment: &g, At: c.cfg.Now()})
		c.line(p.PartKey, g.ID)
		if err != nil {
			return fmt.Errorf("save skipped segment of call %s: %w", p.Call, err)
		}
		return nil
	}
	err := c.keep(p, &g, seg.Segment)
	if err != nil {
		g.State, g.Reason, g.Detail = store.SegmentFailed, report.ReasonStorage, err.Error()
		g.AudioKey, g.AudioNode, g.AudioSHA256, g.AudioBytes = "", "", "", 0
		err = fmt.Errorf("segment %d of leg %s of call %s lost: %w", g.Seq, g.Leg, p.Call, err)
		if noted := c.put(g.ID, document{Part: p, Segment: &g, At: c.cfg.Now()}); noted != nil {
			err = fmt.Errorf("%w; saving that failed too, kept in memory: %w", err, noted)
		}
	}
	c.line(p.PartKey, g.ID)
	return err
}

func (c *Forwarder) keep(p store.Part, g *store.SegmentRow, seg capture.Segment) error {
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
		return c.cfg.Keys.Write(f, g.ID, wav)
	}, func() ([]byte, error) { return json.Marshal(document{Part: p, Segment: g, At: c.cfg.Now()}) }); err != nil {
		return err
	}
	// From here on the segment is decided or reported failed. The crash tests rely on this log line.
	c.cfg.Log.Debug("segment safe", "call", g.Call, "segment", g.ID)
	if c.cfg.OnPromised != nil {
		c.cfg.OnPromised(*g)
	}
	return nil
}

// Run delivers until the context ends.
func (c *Forwarder) Run(ctx context.Context) {
	var all sync.WaitGroup
	if c.cfg.Keep > 0 {
		all.Go(func() { c.checkKept(ctx) })
	}
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

// next takes a queue that no other carrier works on.
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

// carry delivers the first entry of a queue.
func (c *Forwarder) carry(ctx context.Context, l *route) {
	c.mu.Lock()
	id := l.queue[0]
	c.mu.Unlock()
	err := c.deliver(ctx, l, id)
	if err != nil && ctx.Err() == nil {
		c.failed(l, err)
		c.giveUpOld(l)
		_ = wait.For(ctx, carryAgain)
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

// failed logs a failure, at most once a minute.
func (c *Forwarder) failed(l *route, err error) {
	c.mu.Lock()
	now := c.cfg.Now()
	if l.since.IsZero() {
		l.since = now
	}
	tell := now.Sub(c.told).Abs() > time.Minute
	if tell {
		c.told = now
	}
	waiting := c.waiting
	c.mu.Unlock()
	if tell {
		c.cfg.Log.Error(
			"spool delivery failed, retrying",
			"call",
			l.key.Call,
			"waiting",
			waiting,
			"error",
			err,
			"hint",
			"nothing is lost; check the database and the audio store",
		)
	}
}

// recovered logs when everything can be delivered again. The lock must be held.
func (c *Forwarder) recovered(l *route) {
	since := l.since
	l.since = time.Time{}
	if since.IsZero() || !c.trouble().IsZero() {
		return
	}
	c.cfg.Log.Info("spool delivery recovered", "waiting", c.waiting, "after", c.cfg.Now().Sub(since).Round(time.Second))
	c.told = time.Time{}
}

// trouble returns the start of the oldest failure, zero if there is none. The lock must be held.
func (c *Forwarder) trouble() (since time.Time) {
	for _, l := range c.lanes {
		if !l.since.IsZero() && (since.IsZero() || l.since.Before(since)) {
			since = l.since
		}
	}
	return since
}

// Waiting returns the number of undelivered entries and the start of the oldest failure, zero if there is none.
func (c *Forwarder) Waiting() (entries int, trouble time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting, c.trouble()
}

// Parts adds the parts that have undelivered or kept entries.
func (c *Forwarder) Parts(to map[store.PartKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.lanes {
		to[k] = true
	}
	for _, e := range c.kept {
		to[e.part] = true
	}
}

// Drain waits until everything is delivered, or the context ends.
func (c *Forwarder) Drain(ctx context.Context) error {
	for {
		if n, _ := c.Waiting(); n == 0 {
			return nil
		}
		if err := wait.For(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
