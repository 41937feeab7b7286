package encode

import (
	"encoding/binary"
	"io"
)

// extent is the part of a file that a container declares as its own.
type extent struct {
	end     int64 // offset behind the container, or -1 for a format without a declared length
	payload int64 // bytes of its media data, or -1 if not known
	wav     wavExtent
}

// wavExtent is the audio of a WAV file, by its header.
type wavExtent struct {
	spec      wavSpec // zero if the format is not decoded in Go
	dataStart int64
}

// extentOf reads the structure of the container of the given name that starts at off.
func extentOf(r io.ReaderAt, name string, off, size int64) extent {
	e := extent{end: -1, payload: -1}
	at := func(i, n int64) []byte {
		b := make([]byte, n)
		if k, _ := r.ReadAt(b, off+i); int64(k) < n || off+i+n > size {
			return nil
		}
		return b
	}
	switch name {
	case "WAV":
		return wavExtentOf(r, off, size)
	case "MPEG-4 (m4a, mp4)", "QuickTime":
		return mp4ExtentOf(r, off, size)
	case "Matroska or WebM":
		e.end = matroskaEnd(r, off, size)
	case "AIFF":
		if b := at(4, 4); b != nil {
			e.end = off + 8 + int64(binary.BigEndian.Uint32(b))
		}
	case "AU":
		if b := at(4, 8); b != nil && binary.BigEndian.Uint32(b[4:]) != 0xffffffff {
			e.end = off + int64(binary.BigEndian.Uint32(b)) + int64(binary.BigEndian.Uint32(b[4:]))
		}
	case "Wave64":
		if b := at(16, 8); b != nil && binary.LittleEndian.Uint64(b) < 1<<62 {
			e.end = off + int64(binary.LittleEndian.Uint64(b))
		}
	case "CAF":
		e.end = cafEnd(r, off, size)
	case "AVI", "Windows Media", "RealMedia", "MPEG program stream":
		e.end = size
	}
	if e.end > size {
		e.end = size
	}
	return e
}

// cafEnd walks the chunks of a Core Audio file, up to the first that is none.
func cafEnd(r io.ReaderAt, off, size int64) int64 {
	at := off + 8
	b := make([]byte, 12)
	for range maxWAVChunks {
		n, _ := r.ReadAt(b, at)
		if n < 12 || !isPrintable(b[:4]) {
			break
		}
		length := int64(binary.BigEndian.Uint64(b[4:]))
		if length == -1 {
			return size
		}
		if length < 0 || length > size-at-12 {
			break
		}
		at += 12 + length
	}
	return min(at, size)
}

// wavExtentOf walks the chunks of a WAV file up to the end of its data chunk.
func wavExtentOf(r io.ReaderAt, off, size int64) extent {
	e := extent{end: -1, payload: -1}
	head := make([]byte, 12)
	if n, _ := r.ReadAt(head, off); n < 12 || !isRIFF(head) {
		return e
	}
	order := orderOf(head)
	riffSize := int64(order.Uint32(head[4:]))
	wide := int64(-1)
	at := off + 12
	for range maxWAVChunks {
		b := make([]byte, 8+40)
		n, _ := r.ReadAt(b, at)
		if n < 8 {
			return e
		}
		length := int64(order.Uint32(b[4:]))
		switch string(b[:4]) {
		case "fmt ":
			if k := min(length, 40, int64(n-8)); k >= 14 {
				if spec, err := parseWAVFormat(b[8:8+k], order); err == nil {
					e.wav.spec = spec
				}
			}
		case "ds64":
			if n >= 24 && order.Uint64(b[16:]) < 1<<62 {
				wide = int64(order.Uint64(b[16:]))
			}
		case "data":
			e.wav.dataStart = at + 8
			data := dataSize(length, riffSize, at+8-off)
			if length == 0xffffffff && string(head[:2]) != "RI" {
				data = wide
			}
			if e.end = size; data >= 0 && data < size-(at+8) {
				e.end = at + 8 + data
			}
			e.payload = e.end - (at + 8)
			return e
		}
		at += 8 + length + length&1
	}
	return e
}

// mp4ExtentOf walks the boxes of an MPEG-4 or QuickTime file (ISO 14496-12, 4.2), up to the first that is none or that
// starts another file.
func mp4ExtentOf(r io.ReaderAt, off, size int64) extent {
	e := extent{end: off}
	b := make([]byte, 16)
	media := false
	for e.end+8 <= size {
		n, _ := r.ReadAt(b, e.end)
		if n < 8 || !isPrintable(b[5:8]) {
			break
		}
		length := int64(binary.BigEndian.Uint32(b))
		head := int64(8)
		switch {
		case length == 0:
			length = size - e.end
		case length == 1 && n == 16 && binary.BigEndian.Uint64(b[8:]) < 1<<62:
			length, head = int64(binary.BigEndian.Uint64(b[8:])), 16
		}
		if length < head {
			break
		}
		switch string(b[4:8]) {
		case "ftyp":
			if media {
				return e
			}
		case "mdat":
			e.payload += max(min(length, size-e.end)-head, 0)
			media = true
		case "moov", "moof":
			media = true
		}
		e.end = min(e.end+length, size)
	}
	if e.end+8 > size {
		e.end = size
	}
	return e
}

// matroskaEnd returns the end of the segment of a Matroska file, or -1 if its size is not declared (RFC 8794, section 6).
func matroskaEnd(r io.ReaderAt, off, size int64) int64 {
	at := off
	for range 16 {
		b := make([]byte, 16)
		n, _ := r.ReadAt(b, at)
		id, idBytes := ebmlID(b[:n])
		length, lengthBytes := ebmlSize(b[idBytes:n])
		if idBytes == 0 || lengthBytes == 0 {
			return -1
		}
		if length < 0 {
			return -1
		}
		at += int64(idBytes+lengthBytes) + length
		if id == 0x18538067 { // Segment
			return min(at, size)
		}
		if at >= size || at < off {
			return -1
		}
	}
	return -1
}

// ebmlID returns the element id at the start of b and its length in bytes, or 0.
func ebmlID(b []byte) (id uint32, n int) {
	if len(b) == 0 || b[0] < 0x10 {
		return 0, 0
	}
	for n = 1; b[0]&(0x80>>(n-1)) == 0; n++ {
	}
	if len(b) < n {
		return 0, 0
	}
	for _, v := range b[:n] {
		id = id<<8 | uint32(v)
	}
	return id, n
}

// ebmlSize returns the element size at the start of b and its length in bytes. The size is -1 if it is not declared.
func ebmlSize(b []byte) (size int64, n int) {
	if len(b) == 0 || b[0] == 0 {
		return 0, 0
	}
	for n = 1; b[0]&(0x80>>(n-1)) == 0; n++ {
	}
	if len(b) < n {
		return 0, 0
	}
	unknown := int64(1)<<(7*n) - 1
	for i, v := range b[:n] {
		if i == 0 {
			v &= 0xff >> n
		}
		size = size<<8 | int64(v)
	}
	if size == unknown {
		return -1, n
	}
	return size, n
}
