package encode

import (
	"bytes"
	"encoding/binary"
	"math"
)

// mp4 walks the boxes of an MPEG-4 or QuickTime file (ISO 14496-12, 4.2), up to the first that is none or that starts
// another file.
func (l *layout) mp4(off int64) {
	l.e.end = off
	media, index := false, false
	for l.e.end+8 <= l.size {
		at, head := l.e.end, int64(8)
		b := l.bytes(at, min(16, l.size-at))
		if b == nil || !isPrintable(b[5:8]) {
			break
		}
		length := int64(binary.BigEndian.Uint32(b))
		switch {
		case length == 0:
			length = l.size - at
		case length == 1 && len(b) == 16 && binary.BigEndian.Uint64(b[8:]) < 1<<62:
			length, head = int64(binary.BigEndian.Uint64(b[8:])), 16
		}
		if length < head {
			break
		}
		next := min(at+length, l.size)
		switch id := string(b[4:8]); id {
		case "ftyp", "styp":
			if media && id == "ftyp" {
				return
			}
			l.index(at+head, next)
		case "mdat":
			l.e.payload += next - at - head
			l.e.media = append(l.e.media, room{off: at + head, end: next})
			media = true
		case "moov":
			if index {
				l.e.unclear = "two indexes"
			} else {
				l.moov(at+head, next)
			}
			media, index = true, true
		case "moof":
			media = true
			l.index(at+head, next)
		case "sidx", "mfra", "wide", "pdin":
			l.index(at+head, next)
		default:
			l.e.spare(at+head, next, isTagChunk(id))
		}
		l.e.end = next
	}
	if l.e.end+8 > l.size {
		l.e.end = l.size
	}
}

// moov books the boxes of the index of an MPEG-4 file that describe no samples.
func (l *layout) moov(at, end int64) {
	for at+8 <= end {
		b := l.bytes(at, 8)
		if b == nil {
			return
		}
		length := int64(binary.BigEndian.Uint32(b))
		if length < 8 || !isPrintable(b[5:8]) {
			l.e.spare(at, end, false)
			return
		}
		next := min(at+length, end)
		switch id := string(b[4:8]); id {
		case "edts":
			l.edits(at+8, next)
		case "stsd":
			l.descriptions(at+8, next)
		case "hdlr":
			if b := l.bytes(at+16, 4); l.media == "" && b != nil {
				l.media = string(b)
			}
			l.index(at+8, next)
		case "mvhd", "mvex", "iods", "tkhd", "stts", "stsc", "stsz", "stco", "co64", "ctts", "stss", "sgpd", "sbgp", "mdhd",
			"vmhd", "smhd", "dinf", "tref", "nmhd", "gmhd", "sdtp", "stsh", "subs", "cslg", "tapt":
		case "trak", "mdia", "minf", "stbl":
			if id == "trak" {
				l.media = ""
			}
			l.moov(at+8, next)
		default:
			l.e.spare(at+8, next, isTagChunk(id))
		}
		at = next
	}
}

// edits reads the edit list of a track (ISO 14496-12, 8.6.6). One edit at the normal rate is plain, with empty ones around.
func (l *layout) edits(at, end int64) {
	b := l.bytes(at, min(end-at, maxIndex))
	if len(b) < 16 || string(b[4:8]) != "elst" {
		return
	}
	b = b[8:]
	n, size, filled := binary.BigEndian.Uint32(b[4:]), 12, 0
	if b[0] == 1 {
		size = 20
	}
	for b = b[8:]; n > 0; n-- {
		if len(b) < size {
			l.e.edited = true // more than are read
			return
		}
		if media := b[size-8 : size-4]; binary.BigEndian.Uint32(media) != math.MaxUint32 {
			filled++
		}
		rate := binary.BigEndian.Uint32(b[size-4:])
		l.e.edited = l.e.edited || filled > 1 || rate != 1<<16
		b = b[size:]
	}
}

// descriptions reads the sample descriptions of a track (ISO 14496-12, 8.5.2). Samples of a second one are decoded by the first.
func (l *layout) descriptions(at, end int64) {
	b := l.bytes(at, min(end-at, maxIndex))
	if len(b) < 8 || l.media != "soun" {
		return
	}
	n := binary.BigEndian.Uint32(b[4:])
	first := ""
	for b = b[8:]; n > 0 && len(b) >= 8; n-- {
		size := int(min(max(binary.BigEndian.Uint32(b), 8), uint32(len(b))))
		if first == "" {
			first = string(b[:size])
		}
		if string(b[:size]) != first {
			l.e.unclear = "several sample descriptions for one track"
		}
		if i := bytes.Index(b[:size], []byte("dOps")); i >= 0 && l.e.unclear == "" {
			l.e.unclear = opusHeadOf(b[i+4 : size]).problem()
		}
		b = b[size:]
	}
}
