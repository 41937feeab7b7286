package encode

import (
	"bytes"
	"io"
)

// tsStrides are the sizes of the packets of a transport stream, with a time stamp in front or a checksum behind.
var tsStrides = []struct{ size, lead int64 }{{188, 0}, {192, 4}, {204, 0}}

const (
	// tsTables bounds the different packets of tables that are taken for what they claim to be.
	tsTables = 32
	// tsHead bounds the bytes of a header that are not stuffing.
	tsHead = 19
	// tsNull is the number of the packets that hold nothing.
	tsNull = 0x1fff
)

// tsPayload returns the bytes of the elementary streams of the transport stream between off and end (ISO 13818-1, 2.4.3), or -1 if it is
// none. Whatever else is in its packets counts too, unless it is known to hold no audio.
func tsPayload(r io.ReaderAt, off, end int64) int64 {
	stride, lead := tsStride(r, off, end)
	if stride == 0 {
		return -1
	}
	w := tsWalk{tables: map[int]bool{}, seen: map[string]bool{}}
	for i := range 0x20 {
		w.tables[i] = true
	}
	buf := make([]byte, stride*4096)
	for at := off; at < end; at += int64(len(buf)) {
		n, _ := r.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		for b := buf[:n]; len(b) >= int(lead)+188; b = b[min(int64(len(b)), stride):] {
			w.packet(b[lead : lead+188])
		}
		if n == 0 {
			break
		}
	}
	return w.payload
}

// tsStride returns the size of the packets, and the bytes in front of each.
func tsStride(r io.ReaderAt, off, end int64) (size, lead int64) {
	b := make([]byte, 5*204)
	n, _ := r.ReadAt(b[:min(int64(len(b)), end-off)], off)
	for _, s := range tsStrides {
		ok := int64(n) > s.lead
		for at := s.lead; at < int64(n); at += s.size {
			ok = ok && b[at] == 0x47
		}
		if ok {
			return s.size, s.lead
		}
	}
	return 0, 0
}

// tsWalk sums up the packets of a transport stream.
type tsWalk struct {
	payload int64
	tables  map[int]bool    // PIDs of tables
	seen    map[string]bool // packets of tables, which are repeated
}

// unstuffed returns the bytes of a header that are not stuffing, beyond those that it needs.
func unstuffed(b []byte) int64 {
	return int64(max(len(b)-bytes.Count(b, []byte{0xff})-tsHead, 0))
}

func (w *tsWalk) packet(b []byte) {
	if b[0] != 0x47 {
		if !harmless(b) {
			w.payload += int64(len(b))
		}
		return
	}
	pid, start, adaptation := int(b[1]&0x1f)<<8|int(b[2]), b[1]&0x40 != 0, b[3]>>4&3
	b = b[4:]
	if adaptation&2 != 0 {
		n := min(1+int(b[0]), len(b))
		w.payload += unstuffed(b[:n])
		b = b[n:]
	}
	if adaptation&1 == 0 {
		w.payload += unstuffed(b)
		return
	}
	switch {
	case pid == tsNull && harmless(b):
	case w.tables[pid] && (w.seen[string(b)] || len(w.seen) < tsTables):
		if pid == 0 && start {
			w.associations(b)
		}
		w.seen[string(b)] = true
	case start && len(b) >= 9 && b[0] == 0 && b[1] == 0 && b[2] == 1 && b[6]>>6 == 2:
		n := min(9+int(b[8]), len(b))
		w.payload += unstuffed(b[:n]) + int64(len(b)-n)
	default:
		w.payload += int64(len(b))
	}
}

// associations notes the PIDs of the program maps (ISO 13818-1, 2.4.4.3).
func (w *tsWalk) associations(b []byte) {
	at := 1 + int(b[0])
	if at+8 > len(b) || b[at] != 0 {
		return
	}
	n := int(b[at+1]&15)<<8 | int(b[at+2])
	for list := b[at+8 : max(min(at+3+n-4, len(b)), at+8)]; len(list) >= 4; list = list[4:] {
		w.tables[int(list[2]&0x1f)<<8|int(list[3])] = true
	}
}
