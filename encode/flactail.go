package encode

import (
	"bytes"
	"io"
)

// flacTail returns the offset behind which no frame of the FLAC file between off and end can reach, or end. The parser of
// ffmpeg takes all bytes behind the last frame for a part of it.
func flacTail(r io.ReaderAt, off, end int64) int64 {
	const block, overlap = 64 << 10, 16
	buf := make([]byte, block+overlap)
	for at := end; at > off; {
		from := max(at-block, off)
		n, _ := r.ReadAt(buf[:min(at-from+overlap, end-from)], from)
		b := buf[:n]
		for i := len(b); ; {
			if i = bytes.LastIndexByte(b[:i], 0xff); i < 0 {
				break
			}
			if longest := flacFrameHeader(b[i:]); longest > 0 {
				return min(from+int64(i)+longest, end)
			}
		}
		at = from
	}
	return end
}

// flacFrameHeader checks the frame header at the start of b (RFC 9639, section 9.1). It returns the length that the frame
// has without compression, or 0 if b is no header.
func flacFrameHeader(b []byte) int64 {
	if len(b) < 16 || b[0] != 0xff || b[1]&0xfe != 0xf8 || b[2]>>4 == 0 || b[2]&15 == 15 || b[3]>>4 > 10 || b[3]&1 != 0 {
		return 0
	}
	n := 5
	for first := b[4]; first&0xc0 == 0xc0 && n < 11; first <<= 1 { // the coded number, as UTF-8 has it
		if b[n]&0xc0 != 0x80 {
			return 0
		}
		n++
	}
	var samples int64
	switch code := b[2] >> 4; {
	case code == 1:
		samples = 192
	case code <= 5:
		samples = 576 << (code - 2)
	case code == 6:
		samples = int64(b[n]) + 1
		n++
	case code == 7:
		samples = int64(b[n])<<8 + int64(b[n+1]) + 1
		n += 2
	default:
		samples = 256 << (code - 8)
	}
	switch b[2] & 15 {
	case 12:
		n++
	case 13, 14:
		n += 2
	}
	crc := byte(0)
	for _, v := range b[:n] {
		crc ^= v
		for range 8 {
			crc = crc<<1 ^ 7*(crc>>7)
		}
	}
	if crc != b[n] {
		return 0
	}
	channels := min(int64(b[3]>>4)+1, 8)
	if b[3]>>4 > 7 {
		channels = 2 // one of them coded as a difference
	}
	return samples*channels*4 + 64
}
