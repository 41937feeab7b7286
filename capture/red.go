package capture

import (
	"bytes"
	"errors"
)

var errRED = errors.New("malformed RED payload")

// redBlock is one of the payloads in a RED payload.
type redBlock struct {
	payloadType uint8
	offset      uint32 // ticks by which its timestamp precedes that of the packet
	payload     []byte
}

// maxRED bounds the copies in a packet; senders use one or two, Chromium up to nine.
const maxRED = 16

// parseRED splits a payload of RFC 2198 into its blocks, oldest first, the primary block last. The blocks alias payload.
func parseRED(blocks []redBlock, payload []byte) ([]redBlock, error) {
	blocks = blocks[:0]
	var sizes [maxRED]int
	rest := payload
	for {
		if len(rest) == 0 || len(blocks) == maxRED {
			return nil, errRED
		}
		pt := rest[0] & 0x7f
		if rest[0]&0x80 == 0 {
			blocks, rest = append(blocks, redBlock{payloadType: pt}), rest[1:]
			break
		}
		if len(rest) < 4 {
			return nil, errRED
		}
		sizes[len(blocks)] = int(rest[2]&0x03)<<8 | int(rest[3])
		blocks = append(blocks, redBlock{payloadType: pt, offset: uint32(rest[1])<<6 | uint32(rest[2])>>2})
		rest = rest[4:]
	}
	for i := range blocks {
		n := len(rest)
		if i < len(blocks)-1 {
			n = sizes[i]
		}
		if n > len(rest) {
			return nil, errRED
		}
		blocks[i].payload, rest = rest[:n], rest[n:]
	}
	return blocks, nil
}

// putRED stores the primary payload of a RED packet, and copies of earlier payloads that are missing.
func (l *Leg) putRED(st *stream, s slot, f *formats) {
	blocks, err := parseRED(l.red[:0], s.payload)
	if err != nil {
		l.stat.Malformed++
		s.reason = UnrecordedMalformed
		st.order.put(s)
		return
	}
	l.red = blocks
	for i, b := range blocks {
		block := slot{seq: s.seq, ts: s.ts - b.offset, arrival: s.arrival, payload: b.payload}
		var ok bool
		block.format, ok = f.of(b.payloadType)
		if !ok || block.format.Kind == KindRED || block.format.Kind == KindAudio && block.format.Decoder == nil {
			block.reason = UnrecordedCodec
		}
		if i < len(blocks)-1 {
			block.copied = true
			block.seq -= l.distance(int64(len(blocks)-1-i), b.offset, block.format)
			twice := b.offset == 0 && !bytes.Equal(b.payload, blocks[len(blocks)-1].payload)
			if block.reason == "" && block.format.Kind == KindAudio && len(b.payload) > 0 &&
				(twice || st.order.arrived(block.seq) && st.times.unknown(block.ts)) {
				l.books.unrecord(UnrecordedMalformed, 0, l.packetTime()) // the copy of nothing that was sent
				st.times.add(block.ts)
			}
			if block.reason != "" || block.seq < st.order.next || st.order.has(block.seq) || st.order.arrived(block.seq) {
				continue
			}
		} else if block.reason != "" {
			l.stat.Malformed++
		}
		st.order.put(block)
	}
}

// sentTimes are the timestamps of the newest audio packets of a stream.
type sentTimes struct {
	list [64]uint32
	n    int
}

func (t *sentTimes) add(ts uint32) {
	t.list[t.n%len(t.list)] = ts
	t.n++
}

// unknown reports whether a timestamp is that of no packet, although it is not older than all that are known.
func (t *sentTimes) unknown(ts uint32) bool {
	older := true
	for _, known := range t.list[:min(t.n, len(t.list))] {
		if known == ts {
			return false
		}
		older = older && int32(ts-known) < 0
	}
	return !older
}

// distance returns how many packets before its own a redundant block was sent first: by its timestamp offset if that is a
// multiple of the packet time, otherwise by its place.
func (l *Leg) distance(place int64, offset uint32, f format) int64 {
	t := &l.timeline
	if f.ClockRate == 0 || t.packet == 0 || t.clock != int64(f.ClockRate) {
		return place
	}
	ticks := t.packet * t.clock / t.rate
	if ticks > 0 && int64(offset)%ticks == 0 && int64(offset)/ticks > 0 {
		return int64(offset) / ticks
	}
	return place
}
