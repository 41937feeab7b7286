package encode

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"strconv"
	"strings"
)

// layout walks the structure of a container.
type layout struct {
	r       io.ReaderAt
	size    int64 // end of the file
	e       extent
	chunks  int
	media   string // handler of the track of an MPEG-4 file
	seen    map[string]string
	tables  map[string]bool // of one track
	indexes int64           // bytes of headers and indexes that are not judged

	comments bool // only rooms of comments are wanted, of an Ogg file
}

// format reads a description of the format of the media. A second one that differs makes the format unclear: players take the first or the
// last.
func (l *layout) format(name string, off, end int64) {
	b := make([]byte, max(min(end-off, maxIndex), 0))
	n, _ := l.r.ReadAt(b, off)
	if l.seen == nil {
		l.seen = map[string]string{}
	}
	had, ok := l.seen[name]
	if l.seen[name] = string(b[:n]); ok && had != string(b[:n]) {
		l.e.unclear = "two different chunks " + strconv.Quote(name)
	}
}

// maxChunks bounds the elements of one container. The rest of a file with more is a room.
const maxChunks = 2_000_000

// bytes returns n bytes at offset at, or nil if the file has fewer.
func (l *layout) bytes(at, n int64) []byte {
	l.chunks++
	if at < 0 || at+n > l.size || l.chunks > maxChunks {
		return nil
	}
	b := make([]byte, n)
	if k, _ := l.r.ReadAt(b, at); int64(k) < n {
		return nil
	}
	return b
}

// maxIndex is the size up to which headers and indexes are taken for what they claim to be.
const maxIndex = 64 << 10

// index books a header or an index: a long one may hold audio, and so may many.
func (l *layout) index(off, end int64) {
	if l.indexes += max(end-off, 0); l.indexes > maxIndex {
		l.e.spare(off, end, true)
	}
}

// table books a table of n entries of a size behind a head. Whatever is behind them is no part of it, and there is one of each name.
func (l *layout) table(name string, off, end int64, n, head, size int64) {
	if l.tables == nil {
		l.tables = map[string]bool{}
	}
	if l.tables[name] {
		l.e.spare(off, end, false)
		return
	}
	l.tables[name] = true
	if need := off + head + n*size; n < 0 || need > end {
		l.e.spare(off, end, false)
	} else if need < end {
		l.e.spare(need, end, false)
	}
}

// isTagChunk reports whether a chunk of the given name holds tags, pictures or data of other programs.
func isTagChunk(id string) bool {
	switch strings.ToLower(strings.TrimSpace(id)) {
	case "id3", "appl", "bext", "ixml", "axml", "_pmx", "udta", "meta", "uuid", "list", "info", "smed", "cart", "umid":
		return true
	}
	return false
}

// riff walks an AVI file, or a WAV file whose codec ffmpeg decodes.
func (l *layout) riff(off int64) {
	at := off
	for {
		b := l.bytes(at, 12)
		if b == nil || string(b[:4]) != "RIFF" && string(b[:4]) != "RF64" || at > off && string(b[8:12]) != "AVIX" {
			break
		}
		end := at + 8 + int64(binary.LittleEndian.Uint32(b[4:]))
		if end > l.size || end <= at+12 {
			l.e.cut = l.e.cut || end > l.size
			end = l.size
		}
		if at = l.riffChunks(at+12, end, math.MaxInt); at < end {
			break
		}
	}
	l.e.end = min(at, l.size)
}

// riffChunks walks the chunks up to end, and returns the offset behind the last one.
func (l *layout) riffChunks(at, end int64, streams int) int64 {
	for at < end {
		b := l.bytes(at, 8)
		if b == nil || !isPrintable(b[:4]) {
			return at
		}
		id, size := string(b[:4]), int64(binary.LittleEndian.Uint32(b[4:]))
		body, next := at+8, at+8+size+size&1
		next = min(next, end)
		switch {
		case id == "LIST" || id == "RIFF":
			kind := l.bytes(body, 4)
			switch {
			case kind == nil:
				return at
			case string(kind) == "movi", string(kind) == "rec ":
				if l.riffChunks(body+4, next, streams) < next {
					l.e.spare(body+4, next, false)
				}
			case string(kind) == "hdrl":
				header := make([]byte, min(next-body, maxIndex))
				n, _ := l.r.ReadAt(header, body)
				streams = bytes.Count(header[:n], []byte("strh"))
				l.riffChunks(body+4, next, streams)
			case string(kind) == "strl", string(kind) == "odml":
				l.riffChunks(body+4, next, streams)
			default:
				l.e.spare(body, next, true)
			}
		case id == "idx1" || strings.HasPrefix(id, "ix"):
			b := l.bytes(body, min(16, size))
			if len(b) == 16 && id == "idx1" && (b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9') {
				l.e.spare(body, next, false)
			}
		case id == "cue ":
			if b := l.bytes(body, min(4, size)); len(b) == 4 {
				l.table(id, body, next, int64(binary.LittleEndian.Uint32(b)), 4, 24)
			}
		case id == "fmt " || id == "fact" || id == "avih" || id == "strh" || id == "strf" || id == "strn" || id == "indx" || id == "dmlh":
			l.index(body, next)
		case id == "data" || id[0] >= '0' && id[0] <= '9' && id[1] >= '0' && id[1] <= '9' && int(id[0]-'0')*10+int(id[1]-'0') < streams:
			l.e.payload += min(size, next-body)
		default:
			l.e.spare(body, next, isTagChunk(id))
		}
		at = next
	}
	return at
}

// flv walks the tags of a Flash video file (Adobe, Video File Format Specification, Annex E).
func (l *layout) flv(off int64) {
	at := off + 9
	if b := l.bytes(off+5, 4); b != nil {
		at = off + int64(binary.BigEndian.Uint32(b)) + 4
	}
	audio, headers := -1, 0
	for {
		b := l.bytes(at, 11)
		if b == nil || b[0] != 8 && b[0] != 9 && b[0] != 18 || b[8]|b[9]|b[10] != 0 {
			break
		}
		n := int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
		switch head := l.bytes(at+11, min(n, 2)); {
		case b[0] == 18:
			l.e.spare(at+11, min(at+11+n, l.size), true)
		case len(head) < 2:
			l.e.payload += n
		case b[0] == 9:
			l.e.payload += max(n-1, 0)
			if codec := head[0] & 15; codec == 7 || codec == 12 || codec == 13 {
				l.e.payload -= min(4, n-1)
			}
		case audio >= 0 && audio != int(head[0]):
			l.e.end = at // another format: not all players go on
			return
		case head[0]>>4 == 10 && head[1] == 0 && n <= 64 && headers < 16:
			headers++
		case head[0]>>4 == 10:
			l.e.payload += n - 2
		default:
			l.e.payload += n - 1
		}
		if b[0] == 8 && n > 0 {
			if head := l.bytes(at+11, 1); head != nil {
				audio = int(head[0])
			}
		}
		if tail := l.bytes(at+11+n, 4); tail != nil && int64(binary.BigEndian.Uint32(tail)) != 11+n {
			at += 11 + n
			break
		}
		at += 15 + n
	}
	l.e.end = min(at, l.size)
}

// programStream walks the packets of an MPEG program stream (ISO 13818-1, 2.5; ISO 11172-1, 2.4).
func (l *layout) programStream(off int64) {
	at := off
	for {
		b := l.bytes(at, 6)
		switch {
		case b == nil || b[0] != 0 || b[1] != 0 || b[2] != 1 || b[3] < 0xb9:
		case b[3] == 0xb9:
			at += 4
			continue
		case b[3] == 0xba:
			n := int64(12)
			if b[4]>>6 == 1 {
				if stuffing := l.bytes(at+13, 1); stuffing != nil {
					n = 14 + int64(stuffing[0]&7)
				}
			}
			at += n
			continue
		default:
			n := 6 + int64(b[4])<<8 + int64(b[5])
			switch {
			case b[3] == 0xbe || b[3] == 0xbf || b[3] == 0xbc || b[3] >= 0xf0: // padding and private data
				if body := l.bytes(at+6, min(n-6, l.size-at-6)); unstuffed(body) > 0 {
					l.e.spare(at+6, min(at+n, l.size), false)
				}
			case b[3] == 0xbb:
				l.e.spare(at+6+64, min(at+n, l.size), false)
			default:
				l.e.payload += max(n-l.packetHead(at, b[3]), 0)
			}
			at += n
			continue
		}
		break
	}
	l.e.end = min(at, l.size)
}

// packetHead returns the size of the header of a packet of a program stream.
func (l *layout) packetHead(at int64, id byte) int64 {
	b := l.bytes(at+6, min(32, l.size-at-6))
	n := 0
	switch {
	case len(b) < 3:
		return 6
	case b[0]>>6 == 2: // ISO 13818-1, 2.4.3.6
		n = 3 + int(b[2])
	default: // ISO 11172-1, 2.4.3.3
		for n < len(b)-12 && b[n] == 0xff {
			n++
		}
		if b[n]>>6 == 1 {
			n += 2
		}
		switch b[n] >> 4 {
		case 2:
			n += 5
		case 3:
			n += 10
		default:
			n++
		}
	}
	if id != 0xbd || n >= len(b) {
		return 6 + int64(n)
	}
	switch b[n] >> 4 {
	case 8: // AC-3 and DTS
		n += 4
	case 10: // PCM
		n += 7
	}
	return 6 + int64(n)
}

// voc walks the blocks of a Creative Voice file, up to one of another format.
func (l *layout) voc(off int64) {
	b := l.bytes(off+20, 2)
	if b == nil {
		return
	}
	at := off + int64(binary.LittleEndian.Uint16(b))
	format, extended := "", ""
	for {
		b := l.bytes(at, 4)
		if b == nil || b[0] == 0 || b[0] > 9 {
			if k := l.bytes(at, 1); k != nil && k[0] == 0 {
				at++
			}
			break
		}
		n := int64(b[1]) | int64(b[2])<<8 | int64(b[3])<<16
		head := map[byte]int64{1: 2, 8: 4, 9: 12}[b[0]]
		if head > n {
			break
		}
		now := string(b[:1]) + string(l.bytes(at+4, head))
		switch b[0] {
		case 8:
			extended = now
		case 1, 9:
			if extended != "" && b[0] == 1 {
				now, extended = extended, ""
			}
			if format != "" && now != format {
				l.e.end = min(at, l.size)
				return
			}
			format = now
			l.e.payload += max(min(n, l.size-at-4)-head, 0)
		case 2:
			l.e.payload += min(n, l.size-at-4)
		case 5:
			l.e.spare(at+4, min(at+4+n, l.size), false)
		}
		at += 4 + n
	}
	l.e.end = min(at, l.size)
}

// sox reads the header of the native format of SoX (soxformat(7)).
func (l *layout) sox(off int64) {
	b := l.bytes(off, 16)
	if b == nil {
		return
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 'X' {
		order = binary.BigEndian
	}
	l.e.end = l.size
	start := off + 4 + int64(order.Uint32(b[4:]))
	if n := order.Uint64(b[8:]); n > 0 && n < 1<<40 {
		l.e.end = min(start+4*int64(n), l.size)
	}
	l.e.payload = max(l.e.end-start, 0)
	l.index(off+32, min(start, l.size))
}

// tta reads the table of frames of a True Audio file.
func (l *layout) tta(off int64) {
	b := l.bytes(off, 22)
	if b == nil {
		return
	}
	rate, samples := int64(binary.LittleEndian.Uint32(b[10:])), int64(binary.LittleEndian.Uint32(b[14:]))
	length := max(256*rate/245, 1)
	frames := (samples + length - 1) / length
	table := l.bytes(off+22, 4*min(frames, 1<<20))
	if table == nil {
		return
	}
	end := off + 22 + 4*frames + 4
	for ; len(table) >= 4; table = table[4:] {
		end += int64(binary.LittleEndian.Uint32(table))
	}
	l.e.end = min(end, l.size)
}

// nut finds the index, with which the writer of a NUT file ends it.
func (l *layout) nut(off int64) {
	const start = "NX\xdd\x67\x2f\x23\xe6\x4e"
	buf := make([]byte, 1<<20)
	for at := off; at < l.size; at += int64(len(buf)) - 64 {
		n, _ := l.r.ReadAt(buf[:min(int64(len(buf)), l.size-at)], at)
		i := bytes.Index(buf[:n], []byte(start))
		if i < 0 || i+len(start)+10 > n {
			continue
		}
		b, length := buf[i+len(start):n], int64(0)
		k := 0
		for k < 8 {
			length = length<<7 | int64(b[k]&0x7f)
			if k++; b[k-1]&0x80 == 0 {
				break
			}
		}
		end := at + int64(i+len(start)+k) + length
		if length > 4096 {
			end += 4
		}
		l.e.end = min(end, l.size)
		return
	}
}

// asf walks the objects of a Windows Media file (Advanced Systems Format, 2.1).
func (l *layout) asf(off int64) {
	at, packet := off, int64(0)
	for {
		b := l.bytes(at, 24)
		if b == nil {
			break
		}
		n := int64(binary.LittleEndian.Uint64(b[16:]))
		known := string(b[4:8]) == "\x8e\x66\xcf\x11" || string(b[3:8]) == "\x33\x8e\x66\xcf\x11" || string(b[6:8]) == "\xcf\x11" ||
			string(b[6:8]) == "\xd3\x11" || string(b[6:8]) == "\xd2\x11"
		if !known || n < 24 {
			break
		}
		next := min(at+n, l.size)
		switch string(b[:4]) {
		case "\x36\x26\xb2\x75": // data
			l.e.payload += l.asfPackets(at+50, next, packet)
		case "\x30\x26\xb2\x75", "\x90\x08\x00\x33": // header, simple index
			if b[0] == 0x30 {
				packet = l.asfPacketSize(at, next)
			}
			l.index(at, next)
		default:
			l.e.spare(at+24, next, false)
		}
		at = next
	}
	l.e.end = min(at, l.size)
}

// form walks the chunks of an AIFF file.
func (l *layout) form(off int64) {
	l.e.end = l.size
	if b := l.bytes(off+4, 4); b != nil {
		l.e.end = min(off+8+int64(binary.BigEndian.Uint32(b)), l.size)
	}
	at := off + 12
	for at < l.e.end {
		b := l.bytes(at, 8)
		if b == nil || !isPrintable(b[:4]) {
			break
		}
		n := int64(binary.BigEndian.Uint32(b[4:]))
		next := min(at+8+n+n&1, l.e.end)
		switch id := string(b[:4]); id {
		case "SSND":
			l.e.payload += next - at - 16
		case "COMM":
			l.format(id, at+8, next)
			l.index(at+8, next)
		case "FVER", "INST":
			l.table(id, at+8, next, 1, 0, map[string]int64{"FVER": 4, "INST": 20}[id])
		case "MARK":
			l.index(at+8, next)
		default:
			l.e.spare(at+8, next, isTagChunk(id))
		}
		at = next
	}
	if at > off+12 {
		l.e.end = min(l.e.end, at)
	}
}

// caf walks the chunks of a Core Audio file, up to the first that is none.
func (l *layout) caf(off int64) {
	at := off + 8
	for {
		b := l.bytes(at, 12)
		if b == nil || !isPrintable(b[:4]) {
			break
		}
		n := int64(binary.BigEndian.Uint64(b[4:]))
		if n == -1 || string(b[:4]) == "data" && n > l.size-at-12 { // not known, or cut off
			n = l.size - at - 12
		}
		if n < 0 || n > l.size-at-12 {
			break
		}
		next := at + 12 + n
		switch id := string(b[:4]); id {
		case "data":
			l.e.payload += n - 4
		case "desc", "kuki", "pakt", "chan":
			l.format(id, at+12, next)
			l.index(at+12, next)
		default:
			l.e.spare(at+12, next, isTagChunk(id))
		}
		at = next
	}
	l.e.end = min(at, l.size)
}

// wave64 walks the chunks of a Wave64 file. Each starts at a multiple of 8 bytes.
func (l *layout) wave64(off int64) {
	l.e.end = l.size
	if b := l.bytes(off+16, 8); b != nil && binary.LittleEndian.Uint64(b) < 1<<62 {
		l.e.end = min(off+int64(binary.LittleEndian.Uint64(b)), l.size)
	}
	at := off + 40
	for at < l.e.end {
		b := l.bytes(at, 24)
		if b == nil || !isPrintable(b[:4]) || binary.LittleEndian.Uint64(b[16:]) >= 1<<62 {
			break
		}
		n := int64(binary.LittleEndian.Uint64(b[16:]))
		if n < 24 {
			break
		}
		next := min(at+(n+7)&^7, l.e.end)
		switch id := string(b[:4]); id {
		case "data":
			l.e.payload += next - at - 24
		case "fmt ", "fact":
			l.format(id, at+24, next)
			l.index(at+24, next)
		default:
			l.e.spare(at+24, next, isTagChunk(id))
		}
		at = next
	}
	if at > off+40 {
		l.e.end = min(l.e.end, at)
	}
}

// flac walks the metadata of a FLAC file (RFC 9639, section 8). The end of its frames is not declared.
func (l *layout) flac(off int64) {
	at := off + 4
	for {
		b := l.bytes(at, 4)
		if b == nil {
			return
		}
		next := min(at+4+int64(b[1])<<16+int64(b[2])<<8+int64(b[3]), l.size)
		switch b[0] & 0x7f {
		case 0:
		case 3, 5:
			l.index(at+4, next)
		default:
			l.e.spare(at+4, next, b[0]&0x7f != 1)
		}
		if at = next; b[0]&0x80 != 0 {
			return
		}
	}
}

// stop ends the container at an offset, where its structure breaks.
func (l *layout) stop(at int64) {
	if l.e.end >= 0 {
		l.e.spare(at, l.e.end, false)
		return
	}
	l.e.end = min(at, l.size)
}

// maxOggSetup is the size up to which the tables of a codec are taken for what they claim to be.
const maxOggSetup = 8 << 10

// oggHeaders returns the number of packets of headers of a stream, by the first of them.
func oggHeaders(b []byte) int {
	switch codec := oggCodec(b); {
	case codec == "Vorbis" || codec == "Theora":
		return 3
	case codec == "Opus":
		return 2
	case codec == "Speex" && len(b) >= 72:
		return 2 + int(min(binary.LittleEndian.Uint32(b[68:]), 8))
	case codec == "FLAC" && len(b) >= 9:
		return 1 + int(min(binary.BigEndian.Uint16(b[7:]), 64))
	}
	return 1
}

// ogg walks the pages of an Ogg file (RFC 3533, section 6). The payload is without the headers of the streams; long comments are rooms.
func (l *layout) ogg(off int64) {
	type stream struct {
		headers, packet, size int
		setup                 bool // the third header holds the tables of the codec
	}
	streams := map[uint32]*stream{}
	at := off
	for at < l.size {
		head := l.bytes(at, 27)
		if head == nil || string(head[:5]) != "OggS\x00" {
			next := l.find(at, "OggS\x00")
			if !l.comments {
				l.e.spare(at, next, false)
			}
			if at = next; at >= l.size {
				break
			}
			continue
		}
		table := l.bytes(at+27, int64(head[26]))
		n := 27 + int64(head[26])
		serial := binary.LittleEndian.Uint32(head[14:])
		if head[5]&2 != 0 {
			first := l.bytes(at+n, min(80, l.size-at-n))
			codec := oggCodec(first)
			streams[serial] = &stream{headers: oggHeaders(first), setup: codec == "Vorbis" || codec == "Theora"}
		}
		s := streams[serial]
		if s == nil {
			s = &stream{}
		}
		for _, v := range table {
			if s.packet >= s.headers {
				l.e.payload += int64(v)
			} else if s.size += int(v); s.packet < 2 || !s.setup || s.size > maxOggSetup {
				l.e.spare(at+n, min(at+n+int64(v), l.size), true)
			}
			if n += int64(v); v < 255 && s.packet < s.headers {
				s.packet++
				s.size = 0
			}
		}
		at += n
	}
}

// find returns the offset of the next bytes behind at, or the end of the file.
func (l *layout) find(at int64, what string) int64 {
	buf := make([]byte, 64<<10)
	for at++; at < l.size; at += int64(len(buf)) - 8 {
		n, err := l.r.ReadAt(buf[:min(int64(len(buf)), l.size-at)], at)
		if i := bytes.Index(buf[:n], []byte(what)); i >= 0 {
			return at + int64(i)
		}
		if err != nil || n == 0 {
			break
		}
	}
	return l.size
}
