package encode

import (
	"bytes"
	"encoding/binary"
	"io"
)

// frameHeader is the header of a frame in a stream without a file header.
type frameHeader struct {
	name string
	size int    // bytes to the next frame
	key  uint32 // equal for the frames of one stream
}

// Names of the formats whose files are a chain of frames.
const (
	nameADTS    = "AAC"
	nameLOAS    = "AAC in LATM"
	nameLayer2  = "MPEG layer I or II audio"
	nameAC3     = "AC-3"
	nameDTS     = "DTS"
	nameTS      = "MPEG transport stream"
	nameWavPack = "WavPack"
)

// isFrames reports whether files of a format are chains of frames. Other containers hold such chains as their payload.
func isFrames(name string) bool {
	switch name {
	case nameADTS, nameLOAS, nameLayer2, nameAC3, nameDTS, nameTS, nameWavPack, "MP3":
		return true
	}
	return false
}

const (
	// frameChain is the number of frames that must follow each other to be a stream. Audio holds single headers by chance.
	frameChain = 5
	// frameHead is the number of bytes that parseFrame needs.
	frameHead = 16
	// maxFrameGap bounds the damage within a chain of frames behind which the chain goes on.
	maxFrameGap = 64 << 10
)

// parseFrame parses the header of a frame at the start of b, which has frameHead bytes.
func parseFrame(b []byte) (h frameHeader, ok bool) {
	if len(b) < frameHead {
		return h, false
	}
	switch b[0] {
	case 0xff:
		if b[1]&0xf6 == 0xf0 {
			h = adtsFrame(b)
		} else {
			h = layer2Frame(b)
		}
	case 0x0b:
		h = ac3Frame(b)
	case 0x56:
		if b[1]&0xe0 == 0xe0 { // ISO 14496-3, 1.7.2
			h = frameHeader{nameLOAS, 3 + int(b[1]&0x1f)<<8 + int(b[2]), 0}
		}
	case 0x7f, 0xfe:
		h = dtsFrame(b)
	case 'w':
		if version := binary.LittleEndian.Uint16(b[8:]); string(b[:4]) == "wvpk" && version >= 0x402 && version <= 0x410 {
			h = frameHeader{nameWavPack, 8 + int(binary.LittleEndian.Uint32(b[4:])), 0}
		}
	case 0x47:
		if b[1]&0x80 == 0 && b[3]&0x30 != 0 { // ISO 13818-1, 2.4.3.2
			h = frameHeader{nameTS, 188, 0}
		}
	}
	return h, h.size >= 8 && h.size < 1<<24
}

// adtsFrame parses a header of ISO 14496-3, 1.A.2.2.
func adtsFrame(b []byte) frameHeader {
	size := int(b[3]&3)<<11 | int(b[4])<<3 | int(b[5])>>5
	if b[2]>>2&15 > 12 {
		return frameHeader{}
	}
	return frameHeader{nameADTS, size, uint32(b[1]&0xf9)<<16 | uint32(b[2]&0xfd)<<8 | uint32(b[3]&0xc0)}
}

// layer2Frame parses a header of MPEG audio layer I or II (ISO 11172-3, 2.4.1.3; ISO 13818-3 for the lower rates).
func layer2Frame(b []byte) frameHeader {
	version, layer, index, rate := b[1]>>3&3, b[1]>>1&3, int(b[2]>>4), int(b[2]>>2&3)
	if b[1]&0xe0 != 0xe0 || version == 1 || layer < 2 || index == 0 || index == 15 || rate == 3 || b[3]&3 == 2 {
		return frameHeader{}
	}
	hz := [3]int{44100, 48000, 32000}[rate]
	kbits := [15]int{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160}[index]
	switch {
	case version == 3 && layer == 3:
		kbits = 32 * index
	case version == 3:
		kbits = [15]int{0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384}[index]
	case layer == 3:
		kbits = [15]int{0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256}[index]
	}
	switch version {
	case 2:
		hz /= 2
	case 0:
		hz /= 4
	}
	padding := int(b[2] >> 1 & 1)
	size := 144*1000*kbits/hz + padding
	if layer == 3 {
		size = (12*1000*kbits/hz + padding) * 4
	}
	mono := uint32(0)
	if b[3]>>6 == 3 {
		mono = 1
	}
	return frameHeader{nameLayer2, size, uint32(b[1]&0xfe)<<8 | uint32(b[2]&0x0c) | mono}
}

// ac3Frame parses a header of AC-3 or E-AC-3 (ETSI TS 102 366, 4.3.1 and E.1.2.2).
func ac3Frame(b []byte) frameHeader {
	if b[1] != 0x77 {
		return frameHeader{}
	}
	id := b[5] >> 3
	if id > 10 {
		if id > 16 || b[2]>>6 == 3 {
			return frameHeader{}
		}
		return frameHeader{nameAC3, 2 * (int(b[2]&7)<<8 + int(b[3]) + 1), 1<<8 | uint32(b[4]>>6)}
	}
	rate, code := b[4]>>6, int(b[4]&63)
	if rate == 3 || code > 37 {
		return frameHeader{}
	}
	kbits := [19]int{32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640}[code/2]
	size := kbits * 4
	switch rate {
	case 1:
		size = 2 * (kbits*1000*1536/44100/16 + code&1)
	case 2:
		size = kbits * 6
	}
	return frameHeader{nameAC3, size, uint32(b[6]>>5)<<2 | uint32(rate)}
}

// dtsFrame parses the header of a DTS core frame of 16-bit words of either byte order (ETSI TS 102 114, 5.3).
func dtsFrame(b []byte) frameHeader {
	switch string(b[:4]) {
	case "\x7f\xfe\x80\x01":
	case "\xfe\x7f\x01\x80":
		swapped := bytes.Clone(b[:frameHead])
		swapBytes(swapped, 2)
		b = swapped
	default:
		return frameHeader{}
	}
	return frameHeader{nameDTS, int(b[5]&3)<<12 + int(b[6])<<4 + int(b[7])>>4 + 1, 0}
}

// frameSearch finds chains of frames.
type frameSearch struct {
	r    io.ReaderAt
	size int64 // of the file
	next int64 // offset from which the search goes on
}

// first returns the first chain that starts in the block b, which is at offset block.
func (s *frameSearch) first(b []byte, block int64) (at int64, h frameHeader, ok bool) {
	for i := int(max(s.next-block, 0)); i+frameHead <= len(b); i++ {
		switch b[i] {
		case 0xff, 0x0b, 0x56, 0x7f, 0xfe, 'w', 0x47:
		default:
			continue
		}
		h, ok := parseFrame(b[i:])
		if !ok || i+h.size+1 < len(b) && h.name == nameTS && b[i+h.size] != b[i] {
			continue
		}
		at := block + int64(i)
		if !s.chain(at, h) {
			continue
		}
		s.next = chainEnd(s.r, at, s.size)
		return at, h, true
	}
	return 0, h, false
}

// chain reports whether frames like h follow each other at offset at. Frames that are all the same are a constant signal.
func (s *frameSearch) chain(at int64, h frameHeader) bool {
	first := make([]byte, min(h.size, 4096))
	n, _ := s.r.ReadAt(first, at)
	b := make([]byte, len(first))
	same := true
	need := frameChain
	if h.name == nameWavPack {
		need = 2 // a frame holds half a second
	}
	for range need - 1 {
		at += int64(h.size)
		k, _ := s.r.ReadAt(b, at)
		next, ok := parseFrame(b[:k])
		if !ok || next.name != h.name || next.key != h.key {
			return false
		}
		same = same && k >= n && bytes.Equal(first[:n], b[:n])
		h = next
	}
	return !same
}

// chainEnd returns the offset behind the chain of frames at offset at, or end if the last frame is cut off.
func chainEnd(r io.ReaderAt, at, end int64) int64 {
	buf := make([]byte, 64<<10)
	start, have := int64(-1), 0
	var first frameHeader
	for at < end {
		if start < 0 || at+frameHead > start+int64(have) {
			start = at
			have, _ = r.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		}
		h, ok := parseFrame(buf[min(at-start, int64(have)):have])
		if !ok || first.name != "" && (h.name != first.name || h.key != first.key) {
			return at
		}
		first = h
		at += int64(h.size)
	}
	return min(at, end)
}

// chainExtent walks the frames of a file from off on. Damage between frames of the same stream is spare room.
func chainExtent(r io.ReaderAt, off, size int64) extent {
	e := extent{end: -1, payload: -1}
	b := make([]byte, frameHead)
	n, _ := r.ReadAt(b, off)
	h, ok := parseFrame(b[:n])
	if !ok {
		return e
	}
	gap := make([]byte, maxFrameGap)
	for e.end = chainEnd(r, off, size); e.end < size; {
		n, _ := r.ReadAt(gap[:min(maxFrameGap, size-e.end)], e.end)
		s := frameSearch{r: r, size: size}
		at, next, ok := s.first(gap[:n], e.end)
		if !ok || next.name != h.name || next.key != h.key {
			break
		}
		e.spare(e.end, at, false)
		e.end = s.next
	}
	return e
}
