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
	"strings"
	"time"

	"callscreen/internal/audio"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// document is what the spool holds of an entry: how far a part is, or a segment of it.
type document struct {
	Part    store.Part     `json:"part"`
	Segment *store.Segment `json:"segment,omitempty"`
	At      time.Time      `json:"at"`
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

// audioKey is where the audio of a segment goes: 256 ms a folder, so that they fill evenly.
func audioKey(segment string) string { return segment[9:11] + "/" + segment + ".wav" }

// errUnreadable says that a document cannot be understood, and will not be the next time either.
var errUnreadable = errors.New("the document cannot be understood")

// check refuses what would only be found out by the database, again and again, or by whoever reads its tables.
func (d document) check(id string) error {
	const lastYear = 253402300800000 // 9999, in milliseconds
	g := d.Segment
	switch {
	case d.Part.Call == "" || d.Part.Node == "" || d.Part.Part <= 0 || d.Part.Part >= lastYear:
		return fmt.Errorf("%w: it names no part of a call", errUnreadable)
	case strings.HasPrefix(id, partPrefix) != (g == nil):
		return fmt.Errorf("%w: it is not of the kind that its name says", errUnreadable)
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
			return fmt.Errorf("%w: it holds a character that no database takes", errUnreadable)
		}
	}
	return nil
}

func checkSegment(id string, part store.PartKey, g *store.Segment) error {
	if g.ID != id || g.PartKey != part || len(id) < len(segmentID(part, "", 0, 0)) {
		return fmt.Errorf("%w: it is about another segment than its name says", errUnreadable)
	}
	audio := g.AudioKey != ""
	switch g.State {
	case store.SegmentRecorded:
		if !audio {
			return fmt.Errorf("%w: it is about a segment without audio", errUnreadable)
		}
	case store.SegmentFailed, store.SegmentSkipped:
	default:
		return fmt.Errorf("%w: %q is no state of a segment", errUnreadable, g.State)
	}
	if !audio {
		return nil
	}
	if !fs.ValidPath(g.AudioKey) || path.Base(g.AudioKey) != id+".wav" {
		return fmt.Errorf("%w: %q is no place for its audio", errUnreadable, g.AudioKey)
	}
	for _, v := range g.Voiced {
		if v[0] < 0 || v[1] < v[0] || audio && v[1] > g.AudioBytes {
			return fmt.Errorf("%w: speech lies outside of the segment", errUnreadable)
		}
	}
	return nil
}

// read is the document of an entry. The error wraps fs.ErrNotExist if there is none, and errUnreadable if it makes no
// sense.
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

// put writes a document without audio. One that cannot be written is kept in memory until it is delivered: that a segment
// is lost, or that a call has ended, must not be forgotten for want of room.
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

// release lets go of an entry that is delivered.
func (c *Forwarder) release(id string) error {
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
		"an entry of the spool cannot be read and is left there; its call says that a segment is missing, and is not clear",
		"entry",
		id,
		"error",
		err,
		"hint",
		"keep it and its audio if they are evidence, or delete them",
	)
}

// deliver carries one entry to where it belongs. It may have been delivered before.
func (c *Forwarder) deliver(ctx context.Context, l *route, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	doc, err := c.read(id)
	// After the reading: what was lined up before the end was written is then seen in the lane.
	c.mu.Lock()
	last := len(l.queue) == 1
	c.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(id, partPrefix):
		return nil // the end of a part took the earlier notes on it along
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errUnreadable):
		c.unreadable(id, err)
		return nil // or it would keep the rest of its call waiting for ever
	case err != nil:
		return err
	case doc.Segment != nil:
		return c.deliverSegment(ctx, id, doc)
	}
	if !last {
		doc.Part.EndedAt, doc.Part.How = time.Time{}, "" // the end comes after the segments, or the call would be decided without them
	}
	if err := c.cfg.Decider.Progress(ctx, doc.Part); err != nil || doc.Part.EndedAt.IsZero() {
		return err
	}
	return c.release(id)
}

func (c *Forwarder) deliverSegment(ctx context.Context, id string, doc document) error {
	known, err := c.cfg.Decider.known(ctx, id)
	if err != nil {
		return err
	}
	if known {
		// We were stopped after it was written down. Its audio was delivered before that, and may be deleted already.
		return c.release(id)
	}
	if doc.Segment.AudioKey != "" && c.tooOld(doc.At) {
		doc = c.giveUp(id, doc)
	}
	switch g := doc.Segment; {
	case g.AudioKey != "":
		if err := c.deliverAudio(ctx, id, doc); err != nil {
			return err
		}
	case g.AudioSHA256 != "":
		// It was given up. The audio store may have it all the same, and no row would ever say that it must be deleted.
		if err := c.cfg.Audio.Delete(ctx, audioKey(id)); err != nil {
			c.cfg.Log.Error(
				"audio that was given up may be in the audio store, and could not be deleted there",
				"call",
				doc.Part.Call,
				"key",
				audioKey(id),
				"error",
				err,
				"hint",
				"delete it by hand",
			)
		}
	}
	if err := c.cfg.Decider.Recorded(ctx, doc.Part, *doc.Segment); err != nil {
		return err
	}
	observe(c.cfg.Observe, segmentStep(StepSegment, *doc.Segment, doc.Segment.RecordedAt, c.cfg.Now(), nil))
	return c.release(id)
}

// known tells whether a segment was written down.
func (d *Decider) known(ctx context.Context, segment string) (bool, error) {
	_, err := d.cfg.Store.Segment(ctx, segment)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// deliverAudio carries the audio of a segment, which fails if there is none.
func (c *Forwarder) deliverAudio(ctx context.Context, id string, doc document) error {
	g := doc.Segment
	err := c.cfg.Audio.Put(ctx, g.AudioKey, c.cfg.Spool.AudioPath(id))
	if !errors.Is(err, audio.ErrNotFound) {
		return err
	}
	o, _, err := c.cfg.Audio.Open(ctx, g.AudioKey) // perhaps it was carried before somebody took it away
	if !errors.Is(err, audio.ErrNotFound) {
		if err == nil {
			err = o.Close()
		}
		return err
	}
	c.cfg.Log.Error("the audio of a segment is gone from the spool; the segment counts as failed", "call", doc.Part.Call, "segment", id)
	g.State, g.Reason, g.Detail, g.AudioKey = store.SegmentFailed, report.ReasonStorage, "its audio is gone from the spool", ""
	return nil
}

// tooOld tells whether audio that was recorded then has waited for longer than it may.
func (c *Forwarder) tooOld(at time.Time) bool {
	return c.cfg.MaxAge > 0 && c.cfg.Now().Sub(at) > c.cfg.MaxAge
}

// giveUp deletes audio that could not be delivered for too long.
func (c *Forwarder) giveUp(id string, doc document) document {
	c.cfg.Log.Error(
		"audio could not be delivered for too long and is deleted; its segment counts as failed",
		"call",
		doc.Part.Call,
		"segment",
		id,
		"recorded",
		doc.At,
		"hint",
		"see spool.max_age",
	)
	g := doc.Segment
	g.State, g.Reason, g.AudioKey = store.SegmentFailed, report.ReasonStorage, ""
	g.Detail = fmt.Sprintf("it could not be delivered within %v", c.cfg.MaxAge)
	if err := c.put(id, doc); err != nil {
		c.cfg.Log.Warn("that audio was given up could not be noted, and is kept in memory", "call", doc.Part.Call, "segment", id, "error", err)
	}
	return doc
}

// giveUpOld gives up what has waited too long in a lane in which nothing moves. The lane must be busy.
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
