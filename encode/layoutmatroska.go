package encode

import "bytes"

// Elements of Matroska (RFC 9559, section 5).
const (
	mkvHeader      = 0x1a45dfa3
	mkvSegment     = 0x18538067
	mkvCluster     = 0x1f43b675
	mkvBlockGroup  = 0xa0
	mkvTags        = 0x1254c367
	mkvAttachments = 0x1941a469
)

// matroska walks the elements of a Matroska or WebM file. The segment of a live stream declares no size.
func (l *layout) matroska(off int64) {
	at := off
	segment := false
	for {
		b := l.bytes(at, min(16, l.size-at))
		if len(b) < 2 {
			break
		}
		id, idBytes := ebmlID(b)
		length, lengthBytes := ebmlSize(b[idBytes:])
		if idBytes == 0 || lengthBytes == 0 || id == mkvHeader && segment {
			break
		}
		body := at + int64(idBytes+lengthBytes)
		next := min(body+length, l.size)
		l.e.cut = l.e.cut || body+length > l.size
		if length < 0 && id != mkvSegment && id != mkvCluster {
			break
		}
		switch id {
		case mkvHeader:
		case mkvSegment:
			if segment {
				l.e.end = at
				return
			}
			segment = true
			if length >= 0 {
				l.e.end = next
			}
			next = body
		case mkvCluster:
			next = body
		case 0x1654ae6b: // tracks
			l.index(body, next)
			tracks := l.bytes(body, min(next-body, maxIndex))
			if bytes.Contains(tracks, []byte{0x50, 0x34}) {
				l.e.packed = 16 // compressed blocks can be longer than their packets
			}
			for i := bytes.Index(tracks, []byte("OpusHead")); i >= 0 && l.e.unclear == ""; i = bytes.Index(tracks, []byte("OpusHead")) {
				l.e.unclear = opusHead(tracks[i:]).problem()
				tracks = tracks[i+8:]
			}
		case 0x114d9b74, 0x1549a966, 0x1c53bb6b, 0x1043a770: // seek head, info, cues, chapters
			l.index(body, next)
		case 0xe7, 0xa7, 0xab, 0xbf: // time stamp, position, size, checksum
			if length > 64 {
				l.e.spare(body, next, false)
			}
		case mkvBlockGroup:
			next = body // its elements follow
		case 0xa3, 0xa1: // blocks
			l.e.payload += max(next-body-l.blockHead(body, next), 0)
		case 0x9b, 0xfb, 0xfa, 0xfd, 0x75a2, 0xa4: // duration, references, priority, padding, codec state of a block
			if length > 64 {
				l.e.spare(body, next, false)
			}
		case mkvTags, mkvAttachments:
			l.e.spare(body, next, true)
		case 0xec:
			l.e.spare(body, next, false)
		default:
			if l.e.end < 0 || idBytes < 4 {
				l.stop(at)
				return
			}
			l.e.spare(body, next, false)
		}
		at = next
		if l.e.end >= 0 && at >= l.e.end {
			return
		}
	}
	l.stop(at)
}

// blockHead returns the bytes of a block before its frames (RFC 9559, section 10).
func (l *layout) blockHead(at, end int64) int64 {
	b := l.bytes(at, min(1<<10, end-at))
	_, n := ebmlSize(b)
	if n += 3; n == 3 || len(b) <= n {
		return 4
	}
	lacing := b[n-1] & 6
	if lacing == 0 {
		return int64(n)
	}
	frames := int(b[n])
	n++
	for ; frames > 0 && lacing != 4 && n < len(b); frames-- {
		if lacing == 6 {
			_, size := ebmlSize(b[n:])
			n += max(size, 1)
			continue
		}
		for n < len(b)-1 && b[n] == 255 {
			n++
		}
		n++
	}
	return int64(min(n, len(b)))
}
