package encode

// Elements of Matroska (RFC 9559, section 5).
const (
	mkvHeader      = 0x1a45dfa3
	mkvSegment     = 0x18538067
	mkvCluster     = 0x1f43b675
	mkvBlockGroup  = 0xa0
	mkvBlockHead   = 4 // bytes of a block before the frames
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
		case 0x114d9b74, 0x1549a966, 0x1654ae6b, 0x1c53bb6b, 0x1043a770: // seek head, info, tracks, cues, chapters
			l.index(body, next)
		case 0xe7, 0xa7, 0xab, 0xbf: // time stamp, position, size, checksum
			if length > 64 {
				l.e.spare(body, next, false)
			}
		case 0xa3, mkvBlockGroup:
			l.e.payload += max(next-body-mkvBlockHead, 0)
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
