package screen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/spool"
	"callscreen/internal/store"
)

// ReasonStorage is why a segment failed that could not be kept.
const ReasonStorage = "storage"

// CourierConfig says where a courier takes what was recorded.
type CourierConfig struct {
	Spool *spool.Spool
	Audio audio.Store
	Desk  *Desk
	Rate  int // of the WAV files in Hz; 0 means as recorded
	// Node is the name of this node if others cannot get at its audio, else "".
	Node string
	// MaxAge is how long audio may wait to be delivered before it is given up, loudly. 0 means for ever.
	MaxAge time.Duration
	// OnPromised, if not nil, is called once a segment is safe on the disk.
	OnPromised func(g store.Segment)
	Log        *slog.Logger
}

// Courier writes what live calls consist of into the spool, and carries it from there into the audio store and the
// database, in the order of each call, for as long as it takes. Who records never waits for a database.
type Courier struct {
	cfg CourierConfig

	mu      sync.Mutex
	lanes   map[store.PartKey]*route
	ready   []*route
	waiting int                          // entries in all lanes
	owed    map[store.PartKey][]document // what could not even be noted: that something is lost
	news    chan struct{}                // has room for one per carrier
	trouble time.Time                    // since when nothing could be delivered
	told    time.Time
}

// route is the way of one part. Its entries are delivered one after the other.
type route struct {
	key   store.PartKey
	queue []string
	busy  bool
}

// document is what the spool holds of an entry.
type document struct {
	Part    store.Part     `json:"part"`
	Segment *store.Segment `json:"segment,omitempty"`
	At      time.Time      `json:"at"`
}

const carriers = 4

// NewCourier makes a courier. What lies in the spool from an earlier time is delivered first: parts that had not ended
// were interrupted.
func NewCourier(cfg CourierConfig) (*Courier, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Courier{cfg: cfg, lanes: map[store.PartKey]*route{}, owed: map[store.PartKey][]document{}, news: make(chan struct{}, carriers)}
	if err := c.takeUp(); err != nil {
		return nil, fmt.Errorf("take up the spool: %w", err)
	}
	return c, nil
}

func (c *Courier) takeUp() error {
	var segments, interrupted int
	var parts []document
	for _, e := range c.cfg.Spool.Entries() {
		doc, err := c.read(e.ID)
		if err != nil {
			c.cfg.Log.Error("an entry of the spool cannot be read and is left there", "entry", e.ID, "error", err)
			continue
		}
		if doc.Segment != nil {
			c.line(doc.Part.PartKey, e.ID)
			segments++
			continue
		}
		parts = append(parts, doc)
	}
	for _, doc := range parts { // after their segments
		if doc.Part.EndedAt.IsZero() {
			doc.Part.EndedAt, doc.Part.How = doc.At, "interrupted"
			doc.Part.Warnings = append(doc.Part.Warnings, "the recording was interrupted; what had not been cut then is missing")
			if err := c.put(partID(doc.Part.PartKey), doc); err != nil {
				return err
			}
			interrupted++
		}
		c.line(doc.Part.PartKey, partID(doc.Part.PartKey))
	}
	if segments+len(parts) > 0 {
		c.cfg.Log.Info("taking up the spool", "segments", segments, "parts", len(parts), "interrupted", interrupted)
	}
	return nil
}

func (c *Courier) read(id string) (doc document, err error) {
	data, err := c.cfg.Spool.Document(id)
	if err != nil {
		return doc, err
	}
	return doc, json.Unmarshal(data, &doc)
}

// put writes a document without audio.
func (c *Courier) put(id string, doc document) error {
	return c.cfg.Spool.Put(id, 0, nil, func() ([]byte, error) { return json.Marshal(doc) })
}

// line puts an entry at the end of the lane of its part.
func (c *Courier) line(key store.PartKey, id string) {
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

const partPrefix = "p-"

func partID(k store.PartKey) string {
	sum := sha256.Sum256([]byte(k.Call + "\x00" + k.Node))
	return fmt.Sprintf("%s%011x-%s", partPrefix, k.Part, hex.EncodeToString(sum[:8]))
}

// segmentID begins with the time, so that ids are in the order in which the segments were recorded.
func segmentID(k store.PartKey, leg string, seq int, offset time.Duration) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%d", k.Call, k.Node, k.Part, leg, seq))
	return fmt.Sprintf("%011x%s", max(k.Part+offset.Milliseconds(), 0), hex.EncodeToString(sum[:])[:21])
}

// Progress writes down how far a part is. An end that could not be written down must be tried again.
func (c *Courier) Progress(p store.Part) error {
	if err := c.pay(p.PartKey); err != nil {
		return err
	}
	if err := c.put(partID(p.PartKey), document{Part: p, At: time.Now()}); err != nil {
		return fmt.Errorf("note how far call %s is: %w", p.Call, err)
	}
	c.line(p.PartKey, partID(p.PartKey))
	return nil
}

// owe keeps in mind that something is to be noted which could not be. Its part cannot end without it.
func (c *Courier) owe(doc document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.owed[doc.Part.PartKey] = append(c.owed[doc.Part.PartKey], doc)
}

// pay notes what is owed to a part.
func (c *Courier) pay(key store.PartKey) error {
	for {
		c.mu.Lock()
		owed := c.owed[key]
		c.mu.Unlock()
		if len(owed) == 0 {
			return nil
		}
		if err := c.put(owed[0].Segment.ID, owed[0]); err != nil {
			return fmt.Errorf("note what is lost of call %s: %w", key.Call, err)
		}
		c.line(key, owed[0].Segment.ID)
		c.mu.Lock()
		if c.owed[key] = owed[1:]; len(owed) == 1 {
			delete(c.owed, key)
		}
		c.mu.Unlock()
	}
}

// Take keeps a segment. When it returns nil the segment is safe, also if the machine fails. When it returns an error the
// audio is lost, and that is noted in the call.
func (c *Courier) Take(p store.Part, seg capture.LegSegment) error {
	g := store.Segment{
		ID: segmentID(p.PartKey, seg.Leg, seg.Seq, seg.Offset()), PartKey: p.PartKey, Leg: seg.Leg, Seq: seg.Seq, Offset: seg.Offset(), Duration: seg.Duration(),
		Speech: seg.SpeechDuration(), Lost: seg.LostDuration(), RecordedAt: time.Now(), Rate: seg.Rate, State: store.SegmentRecorded,
	}
	p = store.Part{PartKey: p.PartKey, Metadata: p.Metadata, Simulated: p.Simulated, Legs: p.Legs}
	if seg.Skipped != "" {
		g.State, g.Reason = store.SegmentSkipped, seg.Skipped
		if seg.Skipped == capture.ReasonBacklog { // it was worth an analysis
			g.State, g.Detail = store.SegmentFailed, "its audio was let go of, because it could not be written to the disk in time"
		}
		return c.note(document{Part: p, Segment: &g, At: time.Now()})
	}
	err := c.keep(p, &g, seg.Segment)
	if err != nil {
		g.State, g.Reason, g.Detail, g.AudioKey, g.AudioNode, g.AudioSHA256, g.AudioBytes = store.SegmentFailed, ReasonStorage, err.Error(), "", "", "", 0
		err = fmt.Errorf("segment %d of leg %s of call %s is lost: %w", g.Seq, g.Leg, p.Call, err)
		return errors.Join(err, c.note(document{Part: p, Segment: &g, At: time.Now()}))
	}
	c.line(p.PartKey, g.ID)
	return nil
}

// note writes down a segment without audio, now or as soon as possible.
func (c *Courier) note(doc document) error {
	if err := c.put(doc.Segment.ID, doc); err != nil {
		c.owe(doc)
		return fmt.Errorf("segment %d of leg %s of call %s could not be noted yet: %w", doc.Segment.Seq, doc.Segment.Leg, doc.Part.Call, err)
	}
	c.line(doc.Part.PartKey, doc.Segment.ID)
	return nil
}

func (c *Courier) keep(p store.Part, g *store.Segment, seg capture.Segment) error {
	seg, err := resampled(seg, c.cfg.Rate)
	if err != nil {
		return err
	}
	g.AudioNode = c.cfg.Node
	g.Rate, g.AudioKey = seg.Rate, g.ID[9:11]+"/"+g.ID+".wav" // 256 ms a folder, so that they fill evenly
	for _, v := range seg.Voiced {
		g.Voiced = append(g.Voiced, [2]int64{v.Start - seg.Span.Start, v.End - seg.Span.Start})
	}
	if err := c.cfg.Spool.Put(g.ID, int64(2*len(seg.PCM)+44), func(f *os.File) error {
		if err := encode.WriteWAV(f, seg.Rate, seg.PCM); err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		hash := sha256.New()
		g.AudioBytes, err = io.Copy(hash, f)
		g.AudioSHA256 = hex.EncodeToString(hash.Sum(nil))
		return err
	}, func() ([]byte, error) { return json.Marshal(document{Part: p, Segment: g, At: time.Now()}) }); err != nil {
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
func (c *Courier) Run(ctx context.Context) {
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
func (c *Courier) next() *route {
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
func (c *Courier) carry(ctx context.Context, l *route) {
	c.mu.Lock()
	id := l.queue[0]
	c.mu.Unlock()
	err := c.deliver(ctx, l, id)
	if err != nil && ctx.Err() == nil {
		c.failed(l, err)
		_ = sleep(ctx, 500*time.Millisecond)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.busy = false
	if err == nil {
		l.queue = l.queue[1:]
		c.waiting--
		if !c.trouble.IsZero() {
			c.cfg.Log.Info("the spool is delivered again", "waiting", c.waiting, "after", time.Since(c.trouble).Round(time.Second))
			c.trouble, c.told = time.Time{}, time.Time{}
		}
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
func (c *Courier) failed(l *route, err error) {
	c.mu.Lock()
	now := time.Now()
	if c.trouble.IsZero() {
		c.trouble = now
	}
	tell := now.Sub(c.told) > time.Minute
	if tell {
		c.told = now
	}
	waiting := c.waiting
	c.mu.Unlock()
	if tell {
		c.cfg.Log.Error("what was recorded waits in the spool, and is delivered as soon as possible", "call", l.key.Call, "waiting", waiting, "error", err,
			"hint", "nothing is lost; bring the database or the audio store back")
	}
}

// deliver carries one entry to where it belongs. It may have been delivered before.
func (c *Courier) deliver(ctx context.Context, l *route, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	doc, err := c.read(id)
	// After the reading: what was lined up before the end was written is then seen in the lane.
	c.mu.Lock()
	last := len(l.queue) == 1
	c.mu.Unlock()
	if errors.Is(err, os.ErrNotExist) {
		return nil // the end of a part took the earlier notes on it along
	}
	if err != nil {
		return err
	}
	if doc.Segment == nil {
		if !last {
			doc.Part.EndedAt = time.Time{} // the end comes after the segments, or the call would be decided without them
		}
		if err := c.cfg.Desk.Progress(ctx, doc.Part); err != nil || doc.Part.EndedAt.IsZero() {
			return err
		}
		return c.cfg.Spool.Remove(id)
	}
	if key := doc.Segment.AudioKey; key != "" && c.tooOld(doc) {
		c.cfg.Log.Error("audio could not be delivered for too long and is deleted; its segment counts as failed", "call", doc.Part.Call, "segment", id, "recorded", doc.At, "hint", "see spool.max_age")
		doc.Segment.State, doc.Segment.Reason, doc.Segment.AudioKey = store.SegmentFailed, ReasonStorage, ""
		doc.Segment.Detail = fmt.Sprintf("it could not be delivered within %v", c.cfg.MaxAge)
		if err := errors.Join(c.cfg.Spool.Remove(id), c.put(id, doc)); err != nil {
			return err
		}
	} else if key != "" {
		if err := c.cfg.Audio.Put(ctx, key, c.cfg.Spool.AudioPath(id)); err != nil {
			if !errors.Is(err, audio.ErrNotFound) {
				return err
			}
			// Removed from the spool already, or somebody has taken it away.
			if o, _, e := c.cfg.Audio.Open(ctx, key); e == nil {
				_ = o.Close()
			} else if !errors.Is(e, audio.ErrNotFound) {
				return e
			} else {
				c.cfg.Log.Error("the audio of a segment is gone from the spool", "call", doc.Part.Call, "segment", id)
				doc.Segment.State, doc.Segment.Reason, doc.Segment.AudioKey = store.SegmentFailed, ReasonStorage, ""
			}
		}
	}
	if err := c.cfg.Desk.Recorded(ctx, doc.Part, *doc.Segment); err != nil {
		return err
	}
	return c.cfg.Spool.Remove(id)
}

// tooOld tells whether audio has waited for longer than it may.
func (c *Courier) tooOld(doc document) bool {
	return c.cfg.MaxAge > 0 && time.Since(doc.At) > c.cfg.MaxAge
}

// Waiting is how many entries are not delivered, and since when none could be, zero if all is well.
func (c *Courier) Waiting() (entries int, trouble time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting, c.trouble
}

// Parts adds the parts that have something to be delivered.
func (c *Courier) Parts(to map[store.PartKey]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k := range c.lanes {
		to[k] = true
	}
}

// Drain waits until everything is delivered, or the context ends.
func (c *Courier) Drain(ctx context.Context) error {
	for {
		if n, _ := c.Waiting(); n == 0 {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}
