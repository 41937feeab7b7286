package encode

import "encoding/binary"

// mp4 walks the boxes of an MPEG-4 or QuickTime file (ISO 14496-12, 4.2), up to the first that is none or that starts
// another file.
func (l *layout) mp4(off int64) {
	l.e.end = off
	media := false
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
			media = true
		case "moov":
			media = true
			l.moov(at+head, next)
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
		case "mvhd", "mvex", "iods", "tkhd", "edts", "stsd", "stts", "stsc", "stsz", "stco", "co64", "ctts", "stss", "sgpd", "sbgp", "mdhd",
			"hdlr", "vmhd", "smhd", "dinf", "tref", "nmhd", "gmhd", "sdtp", "stsh", "subs", "cslg", "tapt":
		case "trak", "mdia", "minf", "stbl":
			l.moov(at+8, next)
		default:
			l.e.spare(at+8, next, isTagChunk(id))
		}
		at = next
	}
}
