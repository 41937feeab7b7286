package encode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// MP3Reader reads MPEG audio layer III in one pass: MPEG-1 and MPEG-2 (16 to 48 kHz), and the MPEG-2.5 rates 11,025 and
// 12,000 Hz. Free format, 8,000 Hz, and intensity stereo are refused with an [UnsupportedError]. It implements [Source].
//
// Damaged frames, and frames whose data is in damaged frames, are silence and counted in Damage. So is the time of missing
// frames, estimated from the bytes between the good ones. Encoder delay and padding are removed if there is a LAME tag.
type MP3Reader struct {
	r       io.Reader
	walker  mp3Walker
	decoder mp3Decoder
	format  Format
	queue   queue
	pcm     []float32
	damage  Damage
	account Account
	broken  bool  // the last frame was damaged; a stretch of damage is one event
	seen    int64 // frames, damaged ones included
	bytes   int64 // size of the good frames, for the average
	part    bool  // one of several parts
	info    *mp3Info
}

// decoderDelay is the delay of a layer III decoder in samples: 528 of the filter bank, and one.
const decoderDelay = 529

// NewMP3Reader reads up to the first frame. It owns r from then on, and closes it in Close if it is an [io.Closer]. On an
// error r is left to the caller.
func NewMP3Reader(r io.Reader) (*MP3Reader, error) { return newMP3Reader(r, true) }

// newMP3Reader returns a reader of a whole recording, or of one of several parts: then the delay and the padding of the encoder are not cut
// off, because they can take away a part as a whole.
func newMP3Reader(r io.Reader, whole bool) (*MP3Reader, error) {
	m := &MP3Reader{r: r, walker: newMP3Walker(r), part: !whole}
	if err := m.walker.start(); err != nil {
		return nil, fmt.Errorf("read mp3: %w", err)
	}
	h := m.walker.first
	if h.rate < 11025 {
		return nil, fmt.Errorf("read mp3: %w", unsupported("MP3 of %d Hz (MPEG-2.5)", h.rate))
	}
	m.format = Format{Rate: h.rate, Channels: h.channels(), Container: "mp3", Codec: "mp3"}
	m.queue = queue{channels: h.channels(), limit: -1}
	if m.walker.intensityAhead() {
		return nil, fmt.Errorf("read mp3: %w", unsupported("MP3 with intensity stereo"))
	}
	return m, nil
}

// intensityAhead reports whether one of the frames in the window uses intensity stereo.
func (w *mp3Walker) intensityAhead() bool {
	b := w.buf[w.at:w.end]
	for {
		h, ok := parseMP3Header(b)
		if !ok {
			return false
		}
		if h.intensity {
			return true
		}
		b = b[min(h.size, len(b)):]
	}
}

// Format implements [Source].
func (m *MP3Reader) Format() Format { return m.format }

// Damage counts stretches of the file that could not be decoded.
func (m *MP3Reader) Damage() Damage { return m.damage }

// Account books the bytes of the file that were reached.
func (m *MP3Reader) Account() Account {
	a := m.account.clone()
	a.add(m.walker.account)
	a.Size = m.walker.offset()
	return a
}

// bytesPerSecond returns the byte rate of the frames so far.
func (m *MP3Reader) bytesPerSecond() float64 {
	h := m.walker.first
	if m.bytes == 0 {
		return float64(h.bitrate) / 8
	}
	return float64(m.bytes) / float64(m.seen) * float64(h.rate) / float64(h.samples)
}

// Read implements [Source].
func (m *MP3Reader) Read(dst []float32) (int, error) { return m.queue.read(dst, m.fill) }

// Close closes the underlying reader if it can be closed.
func (m *MP3Reader) Close() error {
	if m.queue.err == nil {
		m.queue.err = errClosed
	}
	m.queue.silence, m.queue.pcm = 0, nil
	return closeOnce(&m.r)
}

// fill decodes the next frame.
func (m *MP3Reader) fill() error {
	frame, h, lost, err := m.walker.next()
	if lost > 0 {
		m.fillLost(lost, err != nil)
	}
	if err != nil {
		return m.ending(err)
	}
	if m.seen == 0 && m.info == nil {
		if info := parseMP3Info(h, frame); info != nil {
			m.setInfo(info, h)
			return nil
		}
	}
	m.seen++
	m.bytes += int64(h.size)
	if m.info != nil && m.seen > m.info.frames {
		// The tag counts too few frames, or another recording follows: its padding is not at the end.
		m.queue.limit = -1
	}
	pcm, good := m.decoder.decode(h, frame)
	if good {
		m.broken = false
		m.account.Read += int64(h.size)
	} else {
		m.count(int64(h.size), int64(h.samples))
	}
	if pcm == nil {
		m.queue.silence += int64(h.samples)
		return nil
	}
	m.pcm = m.pcm[:0]
	for ; len(pcm) >= 4; pcm = pcm[4:] {
		m.pcm = append(m.pcm, float32(int16(binary.LittleEndian.Uint16(pcm)))*(1.0/32768))
		if !h.mono {
			m.pcm = append(m.pcm, float32(int16(binary.LittleEndian.Uint16(pcm[2:])))*(1.0/32768))
		}
	}
	m.queue.pcm = m.pcm
	return nil
}

// setInfo takes encoder delay and padding from the info frame.
func (m *MP3Reader) setInfo(info *mp3Info, h mp3Header) {
	m.info = info
	m.account.Read += int64(h.size)
	if !info.gapless || m.part {
		return
	}
	m.queue.skip = int64(info.delay + decoderDelay)
	if total := info.frames*int64(h.samples) - int64(info.delay+info.padding); total > 0 {
		m.queue.limit = total
	}
}

// ending returns the error for the end of the stream, and books the rest of the file.
func (m *MP3Reader) ending(err error) error {
	if errors.Is(err, errOtherFormat) {
		n := m.walker.skip(math.MaxInt64, nil)
		m.account.leave(FurtherPart, n, timeOf(n, m.bytesPerSecond()))
		if err = m.walker.ending(false); errors.Is(err, io.EOF) {
			return io.EOF
		}
	}
	switch {
	case errors.Is(err, io.EOF) && m.info != nil && m.seen < m.info.frames-1:
		return fmt.Errorf("read mp3: %d of %d frames are there: %w", m.seen, m.info.frames, ErrTruncated)
	case errors.Is(err, io.EOF):
		return io.EOF
	}
	return fmt.Errorf("read mp3: %w", err)
}

// fillLost inserts silence for bytes that are not frames. At the end of the file they take no time in the recording, but
// they count as lost.
func (m *MP3Reader) fillLost(lost int64, atEnd bool) {
	m.decoder.gap()
	h := m.walker.first
	samples := int64(float64(lost) / m.bytesPerSecond() * float64(h.rate))
	if !atEnd && m.seen > 0 {
		frames := (samples + int64(h.samples)/2) / int64(h.samples)
		samples = frames * int64(h.samples)
		m.queue.silence += samples
		m.seen += frames
		m.bytes += lost
	}
	m.count(lost, max(samples, 1))
}

// count books bytes as damaged, for a number of samples.
func (m *MP3Reader) count(bytes, samples int64) {
	if !m.broken {
		m.damage.Events++
	}
	m.broken = true
	m.damage.Lost += samples
	m.account.damage(bytes, seconds(float64(samples)/float64(m.format.Rate)))
}
