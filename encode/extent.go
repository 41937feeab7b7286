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
	rooms   []room // in order, without media
	packed  int64  // bytes that each packet may take beyond its own
	cut     bool   // the file ends within it
	edited  bool   // an edit list repeats, cuts or stretches the media
	media   []room // of an MPEG-4 file
	unclear string // what makes it uncertain which format the media have, or empty
}

// wavExtent is the audio of a WAV file, by its header.
type wavExtent struct {
	spec      wavSpec // zero if the format is not decoded in Go
	dataStart int64
}

// extentOf reads the structure of the container of the given name that starts at off.
func extentOf(r io.ReaderAt, name string, off, size int64) extent {
	l := layout{r: r, size: size, e: extent{end: -1, payload: -1}}
	walk := map[string]func(int64){
		"MPEG-4 (m4a, mp4)":   l.mp4,
		"QuickTime":           l.mp4,
		"Matroska or WebM":    l.matroska,
		"AIFF":                l.form,
		"Wave64":              l.wave64,
		"CAF":                 l.caf,
		"FLAC":                l.flac,
		"AVI":                 l.riff,
		"Windows Media":       l.asf,
		"Flash video":         l.flv,
		"MPEG program stream": l.programStream,
		"VOC":                 l.voc,
		"True Audio":          l.tta,
		"NUT":                 l.nut,
		"SoX":                 l.sox,
	}[name]
	switch {
	case name == "WAV":
		e := wavExtentOf(r, off, size)
		if e.wav.spec.align == 0 && e.end >= 0 {
			l.riff(off)
			if e.rooms = l.e.rooms; l.e.end >= size-1 {
				e.end = size // chunks follow the audio, up to the end
			}
		}
		return e
	case walk != nil:
		l.e.payload = 0
		walk(off)
	case isFrames(name) && name != "MP3":
		return chainExtent(r, off, size)
	case name == "AU":
		if b := l.bytes(off+4, 8); b != nil && binary.BigEndian.Uint32(b[4:]) != 0xffffffff {
			start, n := int64(binary.BigEndian.Uint32(b)), int64(binary.BigEndian.Uint32(b[4:]))
			l.e.end = off + start + n
			l.e.payload = min(n, max(size-off-start, 0))
			l.e.spare(off+24, min(off+start, size), false)
		}
	case name == "RealMedia":
		l.e.end = size
	}
	l.e.end = min(l.e.end, size)
	return l.e
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
	l := layout{r: r, size: size}
	for range maxWAVChunks {
		b := make([]byte, 8+40)
		n, _ := r.ReadAt(b, at)
		if n < 8 {
			return e
		}
		length := int64(order.Uint32(b[4:]))
		switch string(b[:4]) {
		case "fmt ":
			l.format("fmt ", at+8, min(at+8+length, size))
			e.unclear = l.e.unclear
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
