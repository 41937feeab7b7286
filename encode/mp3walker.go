package encode

import (
	"errors"
	"fmt"
	"io"
)

// mp3Walker finds the frames of a stream. A frame is accepted if its header fits the stream and another frame follows, so
// that a damaged header costs only its own frame.
type mp3Walker struct {
	window
	first   mp3Header
	last    mp3Header
	tagEnd  int64 // offset of the end of the last tag, by its own account
	account Account
}

// mp3Window is the size of the buffer, in which the first frame is searched.
const mp3Window = 64 << 10

// maxMP3Junk bounds the search for the first frame behind the tags.
const maxMP3Junk = 1 << 20

// errOtherFormat ends a stream at a frame that starts a stream of another format. The frame was not taken.
var errOtherFormat = errors.New("frames of another format follow")

// otherChain is the number of frames that must follow each other to be accepted as a stream of another format.
const otherChain = 4

func newMP3Walker(r io.Reader) mp3Walker { return mp3Walker{window: newWindow(r, mp3Window)} }

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
				w.junk(i, &h)
				w.first, w.last = h, h
				return nil
			}
		}
		if !full {
			break
		}
		searched += stop
		w.junk(stop, nil)
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
			w.total += tag + size - now
			w.at, w.end, w.err = 0, 0, nil
			w.account.Read += size
			continue
		}
		n := w.skip(size, nil)
		w.account.Read += n
		if n < size {
			return fmt.Errorf("ID3 tag of %d bytes: %w", size, truncated(w.failure()))
		}
	}
	return nil
}

// junk books n bytes before the first frame.
func (w *mp3Walker) junk(n int, h *mp3Header) {
	b := w.bytes()[:n]
	w.at += n
	if n < 16 || isZero(b) || harmlessText(b) {
		w.account.Read += int64(n)
		return
	}
	rate := float64(slowRate)
	if h != nil {
		rate = float64(h.bitrate) / 8
	}
	w.account.leave(ReaderGaveUp, int64(n), timeOf(int64(n), rate))
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

// next returns the next frame, valid until the next call, and the number of bytes before it that were not frames and may
// have been. It books tags, zeros and text as read. At the end it returns io.EOF, ErrTruncated if the last frame is
// incomplete, or errOtherFormat.
func (w *mp3Walker) next() (frame []byte, h mp3Header, lost int64, err error) {
	zeros := int64(0) // zeros are padding at the end of a file, and lost audio before a frame
	for {
		w.have(16 << 10) // enough for a chain of frames and a resynchronisation
		b := w.bytes()
		if len(b) < 4 {
			more, zero := w.lose(len(b))
			if zero {
				zeros, more = zeros+more, 0
			}
			w.account.Read += zeros
			return nil, h, lost + more, w.ending(len(b) > 0)
		}
		if n := w.tagHeader(b); n > 0 {
			w.at += n
			w.account.Read += int64(n)
			continue
		}
		h, ok := parseMP3Header(b)
		if ok && !h.same(w.first) && w.chain(b, h, otherChain) {
			w.account.Read += zeros
			return nil, h, lost, errOtherFormat
		}
		ok = ok && h.same(w.first)
		if ok && w.chain(b, h, 2) && !w.swallows(b, h) {
			w.take(h)
			if zeros > 0 && parseMP3Info(h, b[:h.size]) != nil {
				w.account.Read += zeros // padding between two files
				zeros = 0
			}
			return b[:h.size], h, lost + zeros, nil
		}
		if ok && h.size > len(b) && w.err != nil {
			more, _ := w.lose(len(b))
			return nil, h, lost + zeros + more, w.ending(true)
		}
		p := w.resync(b)
		if ok && h.size <= p && h.bitrate == w.last.bitrate {
			// The header behind this frame is damaged, not this one.
			w.take(h)
			return b[:h.size], h, lost + zeros, nil
		}
		more, zero := w.lose(p)
		if zero {
			zeros += more
		} else if more > 0 {
			lost, zeros = lost+zeros+more, 0
		}
	}
}

// lose skips n bytes that are not frames. It returns how many of them may have been audio, and whether they are zeros.
func (w *mp3Walker) lose(n int) (lost int64, zero bool) {
	b := w.bytes()[:n]
	tag := min(max(w.tagEnd-w.offset(), 0), int64(n))
	w.at += n
	w.account.Read += tag
	b = b[tag:]
	if zero = isZero(b); !zero && harmlessText(b) {
		w.account.Read += int64(len(b))
		return 0, false
	}
	return int64(len(b)), zero
}

// tagHeader returns the size of the header of a tag at the start of b, or 0. The contents of a tag between the audio are
// searched for frames too, because the size of the tag may be false.
func (w *mp3Walker) tagHeader(b []byte) int {
	at := w.offset()
	switch {
	case len(b) >= 3 && string(b[:3]) == "TAG":
		w.tagEnd = max(w.tagEnd, at+128)
		if len(b) >= 4 && b[3] == '+' {
			w.tagEnd = max(w.tagEnd, at+227)
		}
		return 3
	case len(b) >= 10 && string(b[:3]) == "ID3":
		size := int64(10)
		for shift, v := range b[6:10] {
			size += int64(v&0x7f) << (21 - 7*shift)
		}
		w.tagEnd = max(w.tagEnd, at+size)
		return 10
	case len(b) >= 8 && string(b[:8]) == "APETAGEX":
		size := int64(32)
		if len(b) >= 24 && b[23]&0x20 != 0 { // the header, not the footer
			size += int64(b[12]) | int64(b[13])<<8 | int64(b[14])<<16 | int64(b[15])<<24
		}
		w.tagEnd = max(w.tagEnd, at+size)
		return min(32, len(b))
	case len(b) >= 11 && string(b[:11]) == "LYRICSBEGIN":
		return 11
	}
	return 0
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
		switch b[i] {
		case 0xff, 'T', 'A', 'I', 'L':
		default:
			continue
		}
		if h, ok := parseMP3Header(b[i:]); ok && i+h.size <= len(b) {
			n := otherChain
			if h.same(w.first) {
				n = 3
			}
			if w.chain(b[i:], h, n) {
				return i
			}
		}
		if endOfMP3(b[i:]) && (b[i] != 'T' || i+128 == len(b) && w.err != nil) {
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
