package review

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"callscreen/encode"
	"callscreen/internal/audio"
	"callscreen/internal/store"
)

const (
	peakRate       = 50 // peaks per second
	peakCacheBytes = 16 << 20
)

// peakCache caches the peaks of segments, whose audio never changes. The least recently used entries are removed first.
// It is safe for concurrent use.
type peakCache struct {
	mu        sync.Mutex
	max, used int
	order     *list.List // of *peakEntry, most recently used first
	byID      map[string]*list.Element
}

type peakEntry struct {
	id    string
	peaks []uint8
}

func newPeakCache(max int) *peakCache {
	return &peakCache{max: max, order: list.New(), byID: map[string]*list.Element{}}
}

func (c *peakCache) get(id string) ([]uint8, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil, false
	}
	c.order.MoveToFront(e)
	return e.Value.(*peakEntry).peaks, true
}

func (c *peakCache) put(id string, peaks []uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID[id] != nil {
		return
	}
	const overhead = 200 // approximate bytes per entry
	c.byID[id] = c.order.PushFront(&peakEntry{id, peaks})
	c.used += len(peaks) + overhead
	for c.used > c.max && c.order.Len() > 1 {
		last := c.order.Back()
		old := c.order.Remove(last).(*peakEntry)
		delete(c.byID, old.id)
		c.used -= len(old.peaks) + overhead
	}
}

// readPeaks returns the loudest sample of each 20 ms of a segment, 0 to 255. Deleted audio has none.
func readPeaks(ctx context.Context, from audio.Store, g store.SegmentRow) ([]uint8, error) {
	data, err := audio.Read(ctx, from, audio.Evidence{Key: g.AudioKey, SHA256: g.AudioSHA256, Bytes: g.AudioBytes})
	if errors.Is(err, audio.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	w, err := encode.NewWAVReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("segment %s: %w", g.ID, err)
	}
	per := max(w.Format().Rate/peakRate, 1)
	buf := make([]float32, per)
	var peaks []uint8
	for filled := 0; ; {
		n, err := w.Read(buf[filled:])
		if filled += n; filled == len(buf) || err != nil && filled > 0 {
			peaks = append(peaks, loudest(buf[:filled]))
			filled = 0
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return peaks, err
		}
	}
}

func loudest(pcm []float32) uint8 {
	var top float32
	for _, x := range pcm {
		top = max(top, x, -x)
	}
	return uint8(min(top, 1) * 255)
}
