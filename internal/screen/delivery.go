package screen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// document is the content of a spool entry: the progress of a part, or one of its segments.
type document struct {
	Part    store.Part        `json:"part"`
	Segment *store.SegmentRow `json:"segment,omitempty"`
	At      time.Time         `json:"at"`
}

const partPrefix = "p-"

func partID(k store.PartKey) string {
	sum := sha256.Sum256([]byte(k.Call + "\x00" + k.Node))
	return fmt.Sprintf("%s%011x-%s", partPrefix, k.Part, hex.EncodeToString(sum[:8]))
}

// segmentID returns the id of a segment. It begins with the time, so that ids sort in the order of recording.
func segmentID(k store.PartKey, leg string, seq int, offset time.Duration) string {
	return fmt.Sprintf("%0*x%s", idTime, max(k.Part+offset.Milliseconds(), 0), segmentName(k, leg, seq))
}

// idTime is the length of the time at the start of the id of a segment.
const idTime = 11

// segmentName returns the end of the id of a segment.
func segmentName(k store.PartKey, leg string, seq int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%d", k.Call, k.Node, k.Part, leg, seq))
	return hex.EncodeToString(sum[:])[:21]
}

// audioKey returns the key of the audio of a segment. A folder spans 256 ms, so that folders fill evenly.
func audioKey(segment string) string { return segment[9:11] + "/" + segment + ".wav" }

// errUnreadable marks a document that makes no sense; reading it again does not help.
var errUnreadable = errors.New("malformed spool document")

// check refuses a document that the database would refuse on every attempt, or that would mislead readers of its tables.
func (d document) check(id string) error {
	g := d.Segment
	switch {
	case d.Part.Call == "" || d.Part.Node == "" || !storable(d.Part.Part):
		return fmt.Errorf("%w: no part of a call is named", errUnreadable)
	case !storable(d.At.UnixMilli()): // a part that was interrupted ends at this time
		return fmt.Errorf("%w: it has no time", errUnreadable)
	case !d.Part.EndedAt.IsZero() && !storable(d.Part.EndedAt.UnixMilli()):
		return fmt.Errorf("%w: the end of the part is no time", errUnreadable)
	case strings.HasPrefix(id, partPrefix) != (g == nil):
		return fmt.Errorf("%w: name and kind differ", errUnreadable)
	}
	texts := []string{d.Part.Call, d.Part.Node, d.Part.How}
	for k, v := range d.Part.Metadata {
		texts = append(texts, k, v)
	}
	texts = append(texts, d.Part.Warnings...)
	for _, l := range d.Part.Legs {
		texts = append(texts, l.Leg)
	}
	if g != nil {
		texts = append(texts, g.Leg, g.Reason, g.Detail, g.AudioSHA256)
		if err := checkSegment(id, d.Part.PartKey, g); err != nil {
			return err
		}
	}
	for _, t := range texts {
		if strings.ContainsRune(t, 0) {
			return fmt.Errorf("%w: it holds a NUL character", errUnreadable)
		}
	}
	return nil
}

// storable reports whether the database can tell a time, in milliseconds, from none.
func storable(millis int64) bool {
	const lastYear = 253402300800000 // 9999
	return 0 < millis && millis < lastYear
}

func checkSegment(id string, part store.PartKey, g *store.SegmentRow) error {
	if g.ID != id || g.PartKey != part || len(id) < len(segmentID(part, "", 0, 0)) {
		return fmt.Errorf("%w: name and segment differ", errUnreadable)
	}
	if !storable(g.RecordedAt.UnixMilli()) {
		return fmt.Errorf("%w: the segment was recorded at no time", errUnreadable)
	}
	audio := g.AudioKey != ""
	switch g.State {
	case store.SegmentRecorded:
		if !audio {
			return fmt.Errorf("%w: the segment has no audio", errUnreadable)
		}
	case store.SegmentFailed, store.SegmentSkipped:
	default:
		return fmt.Errorf("%w: unknown state %q", errUnreadable, g.State)
	}
	if !audio {
		return nil
	}
	if !fs.ValidPath(g.AudioKey) || path.Base(g.AudioKey) != id+".wav" {
		return fmt.Errorf("%w: invalid audio key %q", errUnreadable, g.AudioKey)
	}
	for _, v := range g.Voiced {
		if v[0] < 0 || v[1] < v[0] || audio && v[1] > g.AudioBytes {
			return fmt.Errorf("%w: speech lies outside the segment", errUnreadable)
		}
	}
	return nil
}

// read returns the document of an entry. The error wraps fs.ErrNotExist if there is none, and errUnreadable if it makes
// no sense.
func (c *Forwarder) read(id string) (doc document, err error) {
	c.mu.Lock()
	doc, held := c.held[id]
	c.mu.Unlock()
	if held {
		return doc, nil
	}
	data, err := c.cfg.Spool.Document(id)
	if err != nil {
		return doc, err
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return doc, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return doc, doc.check(id)
}

// put writes a document without audio. One that cannot be written is kept in memory until it is delivered: a lost segment
// or the end of a call must not be forgotten when the disk is full.
func (c *Forwarder) put(id string, doc document) error {
	err := c.cfg.Spool.Put(id, 0, nil, func() ([]byte, error) { return json.Marshal(doc) })
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, id)
	if err != nil {
		c.held[id] = doc
	}
	return err
}

// release removes a delivered entry, at once or after it was kept.
func (c *Forwarder) release(id string, part store.PartKey) error {
	if c.cfg.Keep > 0 {
		return c.keepDocument(id, part)
	}
	return c.remove(id)
}

func (c *Forwarder) remove(id string) error {
	if err := c.cfg.Spool.Remove(id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, id)
	return nil
}

func (c *Forwarder) unreadable(id string, err error) {
	c.cfg.Log.Error(
		"spool entry unreadable, left in place; its call is not clear",
		"entry",
		id,
		"error",
		err,
		"hint",
		"keep the entry and its audio as evidence, or delete them",
	)
}

// deliver delivers one entry. It may have been delivered before.
func (c *Forwarder) deliver(ctx context.Context, l *route, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	doc, err := c.read(id)
	// Looking after the read makes sure that entries queued before the end of the part was written are seen.
	c.mu.Lock()
	last := len(l.queue) == 1
	later := slices.Contains(l.queue[1:], id)
	c.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(id, partPrefix):
		return nil // removed together with the end of the part
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errUnreadable):
		c.unreadable(id, err)
		return nil // or it would block the rest of its call
	case err != nil:
		return err
	case doc.Segment != nil:
		err := c.deliverSegment(ctx, id, doc)
		if errors.Is(err, store.ErrErased) {
			return c.discard(ctx, l, id, doc)
		}
		return err
	}
	ended := !doc.Part.EndedAt.IsZero()
	if !last {
		doc.Part.EndedAt, doc.Part.How = time.Time{}, "" // the end must come after the segments
	}
	err = c.cfg.Decider.Progress(ctx, doc.Part)
	switch {
	case errors.Is(err, store.ErrErased):
		return c.discard(ctx, l, id, doc)
	case err != nil:
		return err
	case ended && !last && !later: // a document that was kept is queued before segments that were kept
		c.line(doc.Part.PartKey, id)
		return nil
	case !ended || !last:
		return nil
	}
	return c.release(id, doc.Part.PartKey)
}

func (c *Forwarder) deliverSegment(ctx context.Context, id string, doc document) error {
	known, err := c.cfg.Decider.known(ctx, id)
	if err != nil {
		return err
	}
	if known {
		// The process stopped after the commit. The audio was delivered before it, and may be deleted already.
		return c.release(id, doc.Part.PartKey)
	}
	erased, err := c.cfg.Decider.cfg.Store.Erased(ctx, doc.Part.PartKey) // before its audio is stored again
	if err != nil {
		return err
	}
	if erased {
		return store.ErrErased
	}
	if doc.Segment.AudioKey != "" && c.tooOld(doc.At) {
		doc = c.giveUp(id, doc)
	}
	again := false
	switch g := doc.Segment; {
	case g.AudioKey != "":
		if again, err = c.deliverAudio(ctx, id, doc); err != nil {
			return err
		}
	case g.AudioSHA256 != "":
		// The audio was given up, but the audio store may have it, and no row would ever have it deleted.
		if err := c.cfg.Audio.Delete(ctx, audioKey(id)); err != nil {
			c.cfg.Log.Error(
				"deleting given-up audio failed; the audio store may hold it",
				"call",
				doc.Part.Call,
				"key",
				audioKey(id),
				"error",
				err,
				"hint",
				"delete the object by hand",
			)
		}
	}
	if err := c.cfg.Decider.recorded(ctx, doc.Part, *doc.Segment, again); err != nil {
		return err
	}
	observe(c.cfg.Observe, segmentStep(StepSegment, *doc.Segment, doc.Segment.RecordedAt, c.cfg.Now(), nil))
	return c.release(id, doc.Part.PartKey)
}

// discard deletes an entry of an erased call, with what the audio store may have of it.
func (c *Forwarder) discard(ctx context.Context, l *route, id string, doc document) error {
	if doc.Segment != nil && doc.Segment.AudioSHA256 != "" {
		if err := c.cfg.Audio.Delete(ctx, audioKey(id)); err != nil {
			return err
		}
	}
	if err := c.remove(id); err != nil {
		return err
	}
	if !l.erased { // the queue has one carrier at a time
		l.erased = true
		c.cfg.Log.Info("call was erased, what the spool has of it is deleted", "call", doc.Part.Call, "entry", id)
	}
	return nil
}

// known reports whether the database has a segment.
func (d *Decider) known(ctx context.Context, segment string) (bool, error) {
	_, err := d.cfg.Store.Segment(ctx, segment)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// deliverAudio delivers the audio of a segment. A segment without audio fails. again is whether the audio store had the audio and
// the spool has not: the segment was delivered before, and the database has lost it.
func (c *Forwarder) deliverAudio(ctx context.Context, id string, doc document) (again bool, err error) {
	g := doc.Segment
	err = c.cfg.Audio.Put(ctx, g.AudioKey, c.cfg.Spool.AudioPath(id))
	if !errors.Is(err, audio.ErrNotFound) {
		return false, err
	}
	o, _, err := c.cfg.Audio.Open(ctx, g.AudioKey)
	if errors.Is(err, audio.ErrTampered) {
		return true, nil // the worker refuses it
	}
	if !errors.Is(err, audio.ErrNotFound) {
		if err == nil {
			err = o.Close()
		}
		return true, err
	}
	c.cfg.Log.Error("segment audio missing from the spool, segment failed", "call", doc.Part.Call, "segment", id)
	g.State, g.Reason, g.Detail, g.AudioKey = store.SegmentFailed, report.ReasonStorage, "its audio is gone from the spool", ""
	return false, nil
}

// tooOld reports whether audio recorded at that time has waited too long.
func (c *Forwarder) tooOld(at time.Time) bool {
	return c.cfg.MaxAge > 0 && c.cfg.Since(at) > c.cfg.MaxAge
}

// giveUp drops audio that could not be delivered in time.
func (c *Forwarder) giveUp(id string, doc document) document {
	c.cfg.Log.Error(
		"audio delivery timed out, audio deleted and segment failed",
		"call",
		doc.Part.Call,
		"segment",
		id,
		"recorded",
		doc.At,
		"hint",
		"spool.max_age sets the limit",
	)
	g := doc.Segment
	g.State, g.Reason, g.AudioKey = store.SegmentFailed, report.ReasonStorage, ""
	g.Detail = fmt.Sprintf("delivery timed out after %v", c.cfg.MaxAge)
	if err := c.put(id, doc); err != nil {
		c.cfg.Log.Warn("saving given-up segment failed; kept in memory", "call", doc.Part.Call, "segment", id, "error", err)
	}
	return doc
}

// giveUpOld drops audio that has waited too long in a queue in which nothing moves. The queue must be busy.
func (c *Forwarder) giveUpOld(l *route) {
	for i := 0; c.cfg.MaxAge > 0; i++ {
		c.mu.Lock()
		if i >= len(l.queue) {
			c.mu.Unlock()
			return
		}
		id := l.queue[i]
		c.mu.Unlock()
		if e, ok := c.cfg.Spool.Entry(id); !ok || !e.Audio {
			continue
		}
		doc, err := c.read(id)
		if err != nil || doc.Segment == nil || doc.Segment.AudioKey == "" {
			continue
		}
		if !c.tooOld(doc.At) {
			return // those behind it are younger
		}
		c.giveUp(id, doc)
	}
}
