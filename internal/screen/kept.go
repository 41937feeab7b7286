package screen

import (
	"context"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// keptEntry is the document of a delivered entry. It is kept until the database has had time to copy its row.
type keptEntry struct {
	id        string
	part      store.PartKey
	delivered time.Time // with a monotonic reading
}

// keepDocument keeps the document of a delivered entry, and deletes its audio, which the audio store has.
func (c *Forwarder) keepDocument(id string, part store.PartKey) error {
	if err := c.cfg.Spool.RemoveAudio(id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, keptEntry{id: id, part: part, delivered: time.Now()})
	return nil
}

// checkKept checks the kept documents until the context ends.
func (c *Forwarder) checkKept(ctx context.Context) {
	for wait.For(ctx, min(c.cfg.Keep, time.Second)) == nil {
		c.checkDue(ctx, time.Now())
	}
}

// checkDue checks the documents that were kept for long enough. After an error the rest is left to the next time.
func (c *Forwarder) checkDue(ctx context.Context, now time.Time) {
	for {
		c.mu.Lock()
		if len(c.kept) == 0 || now.Sub(c.kept[0].delivered) < c.cfg.Keep {
			c.mu.Unlock()
			return
		}
		e := c.kept[0]
		c.mu.Unlock()
		if c.checkOne(ctx, e) != nil {
			return
		}
		c.mu.Lock()
		c.kept = c.kept[1:]
		c.mu.Unlock()
	}
}

// checkOne removes the document of an entry that the database still has, or delivers the entry again: a fail-over to a replica
// that had fallen behind loses commits.
func (c *Forwarder) checkOne(ctx context.Context, e keptEntry) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	doc, err := c.read(e.id)
	if err != nil {
		return nil //nolint:nilerr // a later delivery has removed it
	}
	there, err := c.cfg.Decider.has(ctx, doc)
	if err != nil {
		return err
	}
	if there {
		return c.remove(e.id)
	}
	c.cfg.Log.Warn(
		"spool entry missing in the database, delivered again",
		"call",
		doc.Part.Call,
		"entry",
		e.id,
		"hint",
		"the database has lost commits; see the replication of PostgreSQL",
	)
	c.line(e.part, e.id)
	return nil
}

// has reports whether the database has the row of a delivered document.
func (d *Decider) has(ctx context.Context, doc document) (bool, error) {
	if doc.Segment != nil {
		return d.known(ctx, doc.Segment.ID)
	}
	parts, err := d.cfg.Store.PartsOf(ctx, doc.Part.Call)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if p.PartKey == doc.Part.PartKey {
			return !p.EndedAt.IsZero() && p.How == doc.Part.How, nil
		}
	}
	return false, nil
}
