package encode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// WAVReader reads RIFF/WAVE, RIFX and RF64 files (IBM/Microsoft "Multimedia Programming Interface" 1991; EBU Tech 3306)
// from any reader, in one pass. It decodes PCM of 8, 16, 24 and 32 bits, IEEE float of 32 and 64 bits, A-law and mu-law,
// plain or as WAVE_FORMAT_EXTENSIBLE, and refuses everything else with an [UnsupportedError]. Chunk sizes are never
// trusted with memory. It implements [Source].
//
// A writer that writes to a pipe, or that is killed, leaves a placeholder as the data size. The audio then extends to the
// end of the file. A data size that is larger than the rest of the file ends with [ErrTruncated].
//
// The stated size does not end the audio: further data chunks, further RIFF files of the same format, and bytes behind the
// stated end that are neither chunks nor text nor zeros are decoded too. A further file of another format is booked as
// unread in the Account. [Open] reads it as a part of its own.
type WAVReader struct {
	r       io.Reader
	win     window
	size    int64 // of the file, or -1 if it is not known
	order   binary.ByteOrder
	spec    wavSpec
	left    int64 // bytes of the data chunk still to come, or -1 for the rest of the file
	pad     bool  // the data chunk has an odd size
	behind  bool  // the position is behind the stated end, in bytes that no chunk declares
	zeros   int64 // bytes of zeros behind the stated end that are silence if audio follows
	silence int64 // frames of silence to return first
	cued    bool  // a list of cue points was read
	small   int64 // bytes of small chunks that were not judged
	judge   sampleJudge
	inner   []room // recordings that are read as such too, as offsets in r
	scratch []byte
	account Account
	damage  Damage
	err     error
}

// wavBuffer is the size of the buffer. Frames of 64 channels of 64 bits fit.
const wavBuffer = 32 << 10

// NewWAVReader reads up to the first sample. It owns r from then on, and closes it in Close if it is an [io.Closer]. On
// an error r is left to the caller.
func NewWAVReader(r io.Reader) (*WAVReader, error) {
	w := &WAVReader{r: r, win: newWindow(r, wavBuffer), size: sizeOf(r), judge: sampleJudge{age: judgeMemory}}
	if err := w.readHeader(); err != nil {
		return nil, fmt.Errorf("read wav: %w", err)
	}
	return w, nil
}

// sizeOf returns the number of bytes that r has left, or -1 if r cannot seek.
func sizeOf(r io.Reader) int64 {
	s, ok := r.(io.Seeker)
	if !ok {
		return -1
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1
	}
	end, err := s.Seek(0, io.SeekEnd)
	if err != nil {
		return -1
	}
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return -1
	}
	return end - at
}

// Format implements [Source].
func (w *WAVReader) Format() Format { return w.spec.format }

// Damage counts samples that were not numbers and became silence.
func (w *WAVReader) Damage() Damage { return w.damage }

// Account books the bytes of the file that were reached.
func (w *WAVReader) Account() Account {
	a := w.account.clone()
	a.Size = w.win.offset()
	return a
}

// bytesPerSecond returns the byte rate of the audio.
func (w *WAVReader) bytesPerSecond() float64 {
	return float64(w.spec.align) * float64(w.spec.format.Rate)
}

// take books n bytes of the window as read.
func (w *WAVReader) take(n int) {
	w.win.at += n
	w.account.Read += int64(n)
}

// Read implements [Source]. It does not allocate.
func (w *WAVReader) Read(dst []float32) (int, error) {
	ch := w.spec.format.Channels
	if len(dst) < ch && w.err == nil {
		return 0, io.ErrShortBuffer
	}
	for w.err == nil {
		n := 0
		switch {
		case w.silence > 0:
			frames := min(w.silence, int64(len(dst)/ch))
			w.silence -= frames
			n = int(frames) * ch
			clear(dst[:n])
		case w.left >= 0 && w.left < int64(w.spec.align):
			w.err = w.next()
		case w.behind:
			n = w.readBehind(dst)
		default:
			n = w.readFrames(dst, math.MaxInt)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, w.err
}

// readFrames decodes frames of the window, at most limit, and returns the number of samples. At the end of the file it
// sets err.
func (w *WAVReader) readFrames(dst []float32, limit int) int {
	ch, align := w.spec.format.Channels, w.spec.align
	if !w.win.have(align) {
		missing := w.left - int64(len(w.win.bytes()))
		w.take(len(w.win.bytes()))
		switch err := w.win.failure(); {
		case err != nil:
			w.err = fmt.Errorf("read wav: %w", err)
		case w.left > 0:
			w.err = fmt.Errorf("read wav: %d bytes of audio are missing: %w", missing, ErrTruncated)
		default:
			w.err = io.EOF
		}
		return 0
	}
	b := w.win.bytes()
	frames := min(len(dst)/ch, len(b)/align, limit)
	if w.left >= 0 {
		frames = int(min(int64(frames), w.left/int64(align)))
		w.left -= int64(frames * align)
	}
	b = b[:frames*align]
	w.judge.take(&w.spec, b)
	if w.spec.swap {
		swapBytes(b, align/ch)
	}
	bad := w.spec.convert(dst[:frames*ch], b)
	w.take(len(b))
	if n := w.judge.verdict(&w.spec); n > 0 && !w.readElsewhere(n) {
		n = min(n, w.account.Read)
		w.damage.Events++
		w.damage.Lost += n / int64(align)
		w.account.Read -= n
		w.account.damage(n, timeOf(n, min(w.bytesPerSecond(), slowRate)))
	}
	if bad > 0 {
		lost := int64((bad + ch - 1) / ch)
		w.damage.Events++
		w.damage.Lost += lost
		w.account.Read -= int64(bad * align / ch)
		w.account.damage(int64(bad*align/ch), seconds(float64(lost)/float64(w.spec.format.Rate)))
	}
	return frames * ch
}

// readElsewhere reports whether some of the last n bytes belong to a recording that is read as such.
func (w *WAVReader) readElsewhere(n int64) bool {
	end := w.win.offset()
	for _, r := range w.inner {
		if r.off < end && r.end > end-n {
			return true
		}
	}
	return false
}

// swapBytes reverses the bytes of each sample.
func swapBytes(b []byte, size int) {
	if size == 1 {
		return
	}
	for ; len(b) >= size; b = b[size:] {
		for i, j := 0, size-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
}

// behindBlock is the unit in which bytes behind the stated end are judged.
const behindBlock = 4096

// readBehind decodes a block behind the stated end. Zeros at the end of the file and text are not audio.
func (w *WAVReader) readBehind(dst []float32) int {
	align := w.spec.align
	w.win.have(behindBlock)
	b := w.win.bytes()
	b = b[:min(len(b), behindBlock)/align*align]
	switch {
	case len(b) == 0:
		return w.readFrames(dst, 0) // the end of the file
	case isZero(b):
		w.zeros += int64(len(b))
		w.take(len(b))
		return 0
	case w.zeros > 0:
		w.silence = w.zeros / int64(align)
		w.zeros = 0
		return 0
	case isText(b) && !smooth(b):
		w.take(len(b))
		return 0
	}
	return w.readFrames(dst, len(b)/align)
}

// isZero reports whether all bytes are zero.
func isZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// isText reports whether b is ASCII text. Audio of any sample format has other bytes too.
func isText(b []byte) bool { return len(b) >= 16 && textBytes(b) == len(b) }

// textBytes counts the bytes of b that occur in ASCII text.
func textBytes(b []byte) int {
	n := 0
	for _, v := range b {
		if v >= ' ' && v <= '~' || v == '\n' || v == '\r' || v == '\t' {
			n++
		}
	}
	return n
}

// Close closes the underlying reader if it can be closed.
func (w *WAVReader) Close() error {
	if w.err == nil {
		w.err = errClosed
	}
	return closeOnce(&w.r)
}

var errClosed = errors.New("read after close")

// closeOnce closes *r if it is an io.Closer, and clears it.
func closeOnce(r *io.Reader) error {
	c, ok := (*r).(io.Closer)
	*r = nil
	if !ok {
		return nil
	}
	return c.Close()
}

// truncated replaces the end of file by ErrTruncated, for a file that ends within a header.
func truncated(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}
