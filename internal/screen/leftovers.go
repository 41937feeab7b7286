package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"callscreen/internal/store"
)

// Understood reports whether a document of the spool can be delivered.
func Understood(id string, data []byte) bool {
	var doc document
	return json.Unmarshal(data, &doc) == nil && doc.check(id) == nil
}

// LeftBehind returns the number of files in the spool that belong to no entry, or to one that cannot be read.
func (c *Forwarder) LeftBehind() (int, error) {
	names, err := c.cfg.Spool.Leftovers(Understood)
	return len(names), err
}

// further is the number of segments of a leg, beyond those that are known, that an unreadable entry may be of.
const further = 100

// DiscardLeftovers deletes the files of a call that is about to be erased, among those that belong to no readable entry: their
// names, or their documents, name the call.
func (c *Forwarder) DiscardLeftovers(call string, parts []store.Part, segments []store.SegmentRow) error {
	names, err := c.cfg.Spool.Leftovers(Understood)
	if err != nil || len(names) == 0 {
		return err
	}
	quoted, err := json.Marshal(call)
	if err != nil {
		return err
	}
	ids := idsOf(parts, segments)
	of := map[string]bool{}
	for _, name := range names {
		base := path.Base(name)
		id := strings.TrimSuffix(base, path.Ext(base))
		of[id] = of[id] || ids[id] || len(id) > idTime && ids[id[idTime:]]
		if path.Ext(name) == ".json" && !of[id] {
			data, err := c.cfg.Spool.ReadLeftover(name)
			if err != nil {
				return fmt.Errorf("read what the spool has left of call %s: %w", call, err)
			}
			of[id] = bytes.Contains(data, append([]byte(`"call":`), quoted...))
		}
	}
	for _, name := range names {
		base := path.Base(name)
		if !of[strings.TrimSuffix(base, path.Ext(base))] {
			continue
		}
		if err := c.cfg.Spool.RemoveLeftover(name); err != nil {
			return fmt.Errorf("delete what the spool has left of call %s: %w", call, err)
		}
		c.cfg.Log.Info("call is erased, a file that the spool had set aside is deleted", "call", call, "file", name)
	}
	return nil
}

// idsOf returns the ids of the entries that parts can have: those of the parts, and the ends of those of segments.
func idsOf(parts []store.Part, segments []store.SegmentRow) map[string]bool {
	type leg struct {
		part store.PartKey
		leg  string
	}
	ids, most := map[string]bool{}, map[leg]int{}
	for _, p := range parts {
		ids[partID(p.PartKey)] = true
		for _, l := range p.Legs {
			most[leg{p.PartKey, l.Leg}] = 0
		}
	}
	for _, g := range segments {
		k := leg{g.PartKey, g.Leg}
		most[k] = max(most[k], g.Seq+1)
	}
	for k, n := range most {
		for seq := range n + further {
			ids[segmentName(k.part, k.leg, seq)] = true
		}
	}
	return ids
}
