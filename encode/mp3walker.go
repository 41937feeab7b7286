package encode

import (
	"errors"
	"fmt"
	"io"
)

// mp3Walker finds the frames of a stream. A frame is accepted if its header fits the stream and another frame follows, so
// that a damaged header costs only its own frame.
type mp3Walker struct {
	r     io.Reader
	buf   [64 << 10]byte
	at    int   // start of the unread window in buf
	end   int   // end of the window
	err   error // of r
	first mp3Header
	last  mp3Header
}

// maxMP3Junk bounds the search for the first frame behind the tags.
const maxMP3Junk = 1 << 20

// have makes n bytes available from at on. It returns false if the file has fewer.
func (w *mp3Walker) have(n int) bool {
	if w.end-w.at >= n {
		return true
	}
	w.end = copy(w.buf[:], w.buf[w.at:w.end])
	w.at = 0
	empty := 0
	for w.end < n && w.err == nil {
		var k int
		k, w.err = w.r.Read(w.buf[w.end:])
		w.end += k
		if k > 0 {
			empty = 0
		} else if empty++; empty == 100 && w.err == nil {
			w.err = io.ErrNoProgress
		}
	}
	return w.end >= n
}

// start skips the tags and finds the first frame.
func (w *mp3Walker) start() error {
	if err := w.skipID3(); err != nil {
		return err
	}
	for searched := 0; searched < maxMP3Junk; {
		full := w.have(len(w.buf))
		b := w.buf[w.at:w.end]
		if searched == 0 && freeFormat(b) {
			return unsupported("free-format MP3")
		}
		stop := len(b)
		if full {
			stop -= 8 << 10 // enough for a chain
		}
		for i := 0; i+4 <= stop; i++ {
			if b[i] != 0xff {
				continue
			}
			if h, ok := parseMP3Header(b[i:]); ok && w.chain(b[i:], h, 3) {
				w.at += i
				w.first, w.last = h, h
				return nil
			}
		}
		if !full {
			break
		}
		searched += stop
		w.at += stop
	}
	if w.err != nil && !errors.Is(w.err, io.EOF) {
		return w.err
	}
	return fmt.Errorf("no MPEG layer III frames: %w", ErrNotAudio)
}

// freeFormat reports whether b starts with the header of a frame whose bit rate is not declared.
func freeFormat(b []byte) bool {
	return len(b) >= 4 && b[0] == 0xff && b[1]&0xe6 == 0xe2 && b[1]&0x18 != 0x08 && b[2]>>4 == 0 && b[2]>>2&3 != 3
}

// skipID3 skips ID3v2 tags (id3.org, ID3v2.4.0 3.1). The size of a tag may be false. If the reader can seek and the tag
// claims the rest of the file, the search continues right behind the header of the tag.
func (w *mp3Walker) skipID3() error {
	for range 16 {
		if !w.have(10) || string(w.buf[w.at:w.at+3]) != "ID3" {
			return nil
		}
		b := w.buf[w.at : w.at+10]
		size := int64(10)
		for shift, v := range b[6:10] {
			size += int64(v&0x7f) << (21 - 7*shift)
		}
		if b[5]&0x10 != 0 { // a footer
			size += 10
		}
		if s, ok := w.r.(io.Seeker); ok {
			now, err := s.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			length, err := s.Seek(0, io.SeekEnd)
			if err != nil {
				return err
			}
			tag := now - int64(w.end-w.at)
			if tag+size >= length {
				size = 10
			}
			if _, err := s.Seek(tag+size, io.SeekStart); err != nil {
				return err
			}
			w.at, w.end, w.err = 0, 0, nil
			continue
		}
		n := min(size, int64(w.end-w.at))
		w.at += int(n)
		if err := skip(w.r, size-n); err != nil {
			return fmt.Errorf("ID3 tag of %d bytes: %w", size, err)
		}
	}
	return nil
}

// chain reports whether n frames like h follow each other from the start of b, as far as b reaches.
func (w *mp3Walker) chain(b []byte, h mp3Header, n int) bool {
	for ; n > 1; n-- {
		if h.size >= len(b) {
			return h.size == len(b) // the last frame of the file
		}
		b = b[h.size:]
		if len(b) < 4 || endOfMP3(b) {
			return true
		}
		next, ok := parseMP3Header(b)
		if !ok || !next.same(h) {
			return false
		}
		h = next
	}
	return true
}

// endOfMP3 reports whether b starts with a tag that stands behind or between the audio.
func endOfMP3(b []byte) bool {
	for _, tag := range []string{"TAG", "ID3", "APETAGEX", "LYRICSBEGIN"} {
		if len(b) >= len(tag) && string(b[:len(tag)]) == tag {
			return true
		}
	}
	return false
}

// next returns the next frame, valid until the next call, and the number of bytes before it that were not frames. At the
// end it returns io.EOF, or ErrTruncated if the last frame is incomplete.
func (w *mp3Walker) next() (frame []byte, h mp3Header, lost int64, err error) {
	for {
		w.have(16 << 10) // enough for two frames and a resynchronisation
		b := w.buf[w.at:w.end]
		if len(b) < 4 {
			return nil, h, lost, w.ending(len(b) > 0 && len(b) < 4)
		}
		if endOfMP3(b) {
			if string(b[:3]) != "ID3" {
				return nil, h, lost, w.ending(false)
			}
			if err := w.skipID3(); err != nil {
				return nil, h, lost, err
			}
			continue
		}
		h, ok := parseMP3Header(b)
		ok = ok && h.same(w.first)
		if ok && w.chain(b, h, 2) && !w.swallows(b, h) {
			w.take(h)
			return b[:h.size], h, lost, nil
		}
		if ok && h.size > len(b) && w.err != nil {
			return nil, h, lost, w.ending(true)
		}
		p := w.resync(b)
		if ok && h.size <= p && h.bitrate == w.last.bitrate {
			// The header behind this frame is damaged, not this one.
			w.take(h)
			return b[:h.size], h, lost, nil
		}
		lost += int64(p)
		w.at += p
	}
}

// swallows reports whether a frame that changes the bit rate covers a frame of the old bit rate. Then its header is
// damaged, and the covered frame is good.
func (w *mp3Walker) swallows(b []byte, h mp3Header) bool {
	if h.bitrate == w.last.bitrate {
		return false
	}
	size := h.samples / 8 * w.last.bitrate / h.rate
	for ; size < h.size && size <= h.samples/8*w.last.bitrate/h.rate+1; size++ {
		if size+4 > len(b) {
			return false
		}
		if next, ok := parseMP3Header(b[size:]); ok && next.same(h) && next.bitrate == w.last.bitrate && w.chain(b[size:], next, 2) {
			return true
		}
	}
	return false
}

// take steps over a frame.
func (w *mp3Walker) take(h mp3Header) {
	w.at += h.size
	w.last = h
}

// resync returns the offset of the next frame, or the number of bytes to skip if there is none in b.
func (w *mp3Walker) resync(b []byte) int {
	for i := 1; i+4 <= len(b); i++ {
		if b[i] != 0xff && b[i] != 'T' && b[i] != 'A' {
			continue
		}
		if h, ok := parseMP3Header(b[i:]); ok && h.same(w.first) && i+h.size <= len(b) && w.chain(b[i:], h, 3) {
			return i
		}
		if i+128 == len(b) && w.err != nil && string(b[i:i+3]) == "TAG" {
			return i
		}
	}
	if w.err != nil {
		return len(b)
	}
	return max(1, len(b)-4<<10)
}

// ending is the error at the end of the stream.
func (w *mp3Walker) ending(cut bool) error {
	switch {
	case w.err != nil && !errors.Is(w.err, io.EOF):
		return w.err
	case cut:
		return fmt.Errorf("the last frame is incomplete: %w", ErrTruncated)
	}
	return io.EOF
}
