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
		l.e.cut = l.e.cut || at+length > l.size
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
			l.tables = nil
			l.moov(at+head, next)
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
		case "stts", "ctts", "stco", "stss":
			l.counted(id, at+8, next, 4, map[string]int64{"stts": 8, "ctts": 8, "stco": 4, "stss": 4}[id])
		case "co64", "stsc":
			l.counted(id, at+8, next, 4, map[string]int64{"co64": 8, "stsc": 12}[id])
		case "stsz":
			l.counted(id, at+8, next, 8, 4)
		case "trun":
			l.trackRun(at+8, next)
		case "traf":
			l.tables = nil
			l.moov(at+8, next)
		case "mfhd", "tfhd", "tfdt": // of each fragment
			l.e.spare(at+8+64, next, false)
		case "mvhd", "mvex", "iods", "tkhd", "sgpd", "sbgp", "mdhd", "vmhd", "smhd", "dinf", "tref", "nmhd", "gmhd", "sdtp", "stsh",
			"subs", "cslg", "tapt", "saiz", "saio":
			l.index(at+8, next)
		case "trak", "mdia", "minf", "stbl":
			if id == "trak" {
				l.media, l.tables = "", nil
			}
			l.moov(at+8, next)
		default:
			l.e.spare(at+8, next, isTagChunk(id))
		}
		at = next
	}
}

// counted books a table with a number of entries behind its flags (ISO 14496-12, 8.6.1 and 8.7).
func (l *layout) counted(name string, off, end, at, size int64) {
	b := l.bytes(off, min(at+4, end-off))
	if int64(len(b)) < at+4 {
		return
	}
	n := int64(binary.BigEndian.Uint32(b[at:]))
	if name == "stsz" && binary.BigEndian.Uint32(b[4:]) != 0 {
		n = 0 // all samples have the same size
	}
	l.table(name, off, end, n, at+4, size)
}

// trackRun books the samples of a fragment (ISO 14496-12, 8.8.8).
func (l *layout) trackRun(off, end int64) {
	b := l.bytes(off, min(8, end-off))
	if len(b) < 8 {
		return
	}
	head, size := int64(8), int64(0)
	for _, flag := range []byte{1, 4} {
		if b[3]&flag != 0 {
			head += 4
		}
	}
	for _, flag := range []byte{1, 2, 4, 8} {
		if b[2]&flag != 0 {
			size += 4
		}
	}
	if need := off + head + size*int64(binary.BigEndian.Uint32(b[4:])); need < end {
		l.e.spare(need, end, false)
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
