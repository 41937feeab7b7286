package encode

import (
	"bytes"
	"errors"
	"io"
	"math"
)

// room is a stretch of a file in which the container holds no media: tags, pictures, padding, unknown chunks, gaps.
type room struct {
	off, end int64
	data     bool // the container declares data of another kind, such as a picture, which may be compressed
}

// maxRooms bounds the rooms of one recording. Neighbours beyond are merged.
const maxRooms = 1000

// spare adds a room.
func (e *extent) spare(off, end int64, data bool) {
	if end <= off {
		return
	}
	if n := len(e.rooms); n > 0 && e.rooms[n-1].end == off && e.rooms[n-1].data == data || n == maxRooms {
		e.rooms[n-1].end = max(end, e.rooms[n-1].end)
		return
	}
	e.rooms = append(e.rooms, room{off, end, data})
}

// maxSmallRoom is the size below which a room is too small for audio. All of them together have at most four times of it.
const maxSmallRoom = 1 << 10

// maxSmallPicture is the size below which rooms with the header of a picture are not judged: small pictures of few colours
// have bytes like those of audio.
const maxSmallPicture = 16 << 10

// roomAt returns the room that holds an offset, or nil.
func (e *extent) roomAt(off int64) *room {
	for i := range e.rooms {
		if off >= e.rooms[i].off && off < e.rooms[i].end {
			return &e.rooms[i]
		}
	}
	return nil
}

// nextRoom returns the start of the first room behind an offset, or the end.
func (e *extent) nextRoom(off, end int64) int64 {
	for _, room := range e.rooms {
		if room.off > off {
			end = min(end, room.off)
		}
	}
	return end
}

// take removes the bytes from off to end from the rooms: a recording in them is read.
func (e *extent) take(off, end int64) {
	for i := range e.rooms {
		if room := &e.rooms[i]; off >= room.off && off < room.end {
			room.end = off
		}
	}
}

// judgeBlock is the unit in which bytes that are not media are judged.
const judgeBlock = 4096

// doubtful counts the bytes of r that may be audio: blocks that are neither zeros nor text. If data is true, compressed bytes
// are taken for what the container declares. A recording in them has a mark and is found by it.
func doubtful(r io.Reader, data bool) int64 { return doubtfulIn(r, make([]byte, 4*judgeBlock), data) }

// doubtfulIn is doubtful with a buffer of at least one block.
func doubtfulIn(r io.Reader, buf []byte, data bool) int64 {
	w := window{r: r, buf: buf}
	var n int64
	for w.have(1) {
		w.have(judgeBlock)
		b := w.bytes()
		b = b[:min(len(b), judgeBlock)]
		if !harmless(b) && (!data || !compressed(b)) {
			n += int64(len(b))
		}
		w.at += len(b)
	}
	return n
}

// harmless reports whether b holds no audio: zeros, one value, or text.
func harmless(b []byte) bool {
	if len(b) < 16 || bytes.Count(b, b[:1]) == len(b) {
		return true
	}
	return harmlessText(b) && !smooth(b)
}

// harmlessText reports whether b is text, with zeros and few other bytes.
func harmlessText(b []byte) bool {
	n := textBytes(b) + bytes.Count(b, []byte{0})
	return (len(b)-n)*50 <= len(b)
}

// smooth reports whether the bytes follow each other like the samples of a wave. 8-bit audio of a low level has only bytes
// that occur in text too. In text, neighbours differ as much as any two letters do.
func smooth(b []byte) bool {
	if len(b) < 256 {
		return false
	}
	var n, sum, squares, steps float64
	last := -1.0
	for _, v := range b {
		if v <= ' ' {
			last = -1
			continue
		}
		x := float64(v)
		n, sum, squares = n+1, sum+x, squares+x*x
		if last >= 0 {
			steps += (x - last) * (x - last)
		}
		last = x
	}
	if n < float64(len(b))/2 {
		return false
	}
	variance := squares/n - sum*sum/n/n
	return variance > 0.5 && steps/n < 0.8*variance
}

// compressed reports whether all values occur about equally often in b, as in pictures and other compressed data. Samples of
// audio have frequent and rare values.
func compressed(b []byte) bool {
	var count [256]int
	for _, v := range b {
		count[v]++
	}
	// Chance alone makes a distance of 0.4/sqrt(n/256).
	return distance(&count, nil) < 0.18+0.4/math.Sqrt(float64(len(b))/256)
}

// distance returns the total variation distance of two distributions of bytes, or that of the first to a uniform one.
func distance(a, b *[256]int) float64 {
	var n, m int
	for i := range a {
		n += a[i]
		if b != nil {
			m += b[i]
		}
	}
	d := 0.0
	for i := range a {
		q := 1.0 / 256
		if b != nil {
			q = float64(b[i]) / float64(max(m, 1))
		}
		d += math.Abs(float64(a[i])/float64(max(n, 1)) - q)
	}
	return d / 2
}

// hasPicture reports whether a picture starts near the start of a room.
func (f *recording) hasPicture(off, end int64) bool {
	b := make([]byte, min(512, end-off))
	n, _ := f.ReadAt(b, off)
	return bytes.Contains(b[:n], []byte("\x89PNG\r\n\x1a\n")) || bytes.Contains(b[:n], []byte("\xff\xd8\xff"))
}

// doubtfulTail counts the doubtful bytes behind a recording. Tags stand there too.
func (f *recording) doubtfulTail(off, end int64) int64 {
	head := make([]byte, 8)
	n, _ := f.ReadAt(head, off)
	tag := endOfMP3(head[:n])
	if tag && end-off < maxSmallRoom {
		return 0
	}
	return doubtful(f.section(off, end), tag)
}

// spareAccount books the doubtful bytes of the rooms of a span. They may be of any codec, so the lowest rate counts.
func (f *recording) spareAccount(s span) Account {
	var a Account
	var n, small, pictures int64
	budget := int64(4*maxSmallRoom) / int64(max(f.parts, 1))
	for _, room := range s.extent.rooms {
		from, to := max(room.off, s.off), min(room.end, s.end)
		if from >= to {
			continue
		}
		if size := to - from; size < maxSmallRoom && small+size < budget {
			small += size
			continue
		}
		if size := to - from; room.data && pictures+size < maxSmallPicture/int64(max(f.parts, 1)) && f.hasPicture(from, to) {
			pictures += size
			continue
		}
		n += doubtful(f.section(from, to), room.data)
	}
	a.leave(OtherChunk, n, timeOf(n, slowRate))
	return a
}

// id3Size returns the size of the ID3v2 tag at offset off, with its header, or 0 (id3.org, ID3v2.4, 3.1). Some writers store
// the size as a plain number, which is believed if the tag ends in zeros or a recording starts behind it.
func id3Size(r io.ReaderAt, off, size int64) int64 {
	b := make([]byte, 10)
	if n, err := r.ReadAt(b, off); n < 10 || err != nil && !errors.Is(err, io.EOF) || string(b[:3]) != "ID3" || b[3] == 0xff || b[4] == 0xff {
		return 0
	}
	safe := int64(b[6]&0x7f)<<21 | int64(b[7]&0x7f)<<14 | int64(b[8]&0x7f)<<7 | int64(b[9]&0x7f)
	if b[5]&0x10 != 0 {
		safe += 10 // a footer
	}
	plain := int64(bigEndian32(b[6:]))
	if (b[6]|b[7]|b[8]|b[9])&0x80 != 0 && 10+plain < size-off && startsAt(r, off+10+plain) {
		return 10 + plain
	}
	return 10 + safe
}

// startsAt reports whether a recording or a frame starts at an offset.
func startsAt(r io.ReaderAt, off int64) bool {
	b := make([]byte, markBytes)
	n, _ := r.ReadAt(b, off)
	if kind, _ := startsRecording(b[:n]); kind != "" {
		return true
	}
	if _, ok := parseFrame(b[:n]); ok {
		return true
	}
	_, ok := parseMP3Header(b[:n])
	return ok
}
