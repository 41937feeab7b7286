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
	broken  bool  // the last frame was damaged; a stretch of damage is one event
	seen    int64 // frames, damaged ones included
	bytes   int64 // size of the good frames, for the average
	info    *mp3Info
}

// decoderDelay is the delay of a layer III decoder in samples: 528 of the filter bank, and one.
const decoderDelay = 529

// NewMP3Reader reads up to the first frame. It owns r from then on, and closes it in Close if it is an [io.Closer]. On an
// error r is left to the caller.
func NewMP3Reader(r io.Reader) (*MP3Reader, error) {
	m := &MP3Reader{r: r}
	m.walker.r = r
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
		if errors.Is(err, io.EOF) && m.info != nil && m.seen < m.info.frames-1 {
			return fmt.Errorf("read mp3: %d of %d frames are there: %w", m.seen, m.info.frames, ErrTruncated)
		}
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		return fmt.Errorf("read mp3: %w", err)
	}
	if m.seen == 0 && m.info == nil {
		if info := parseMP3Info(h, frame); info != nil {
			m.info = info
			if info.gapless {
				m.queue.skip = int64(info.delay + decoderDelay)
				if total := info.frames*int64(h.samples) - int64(info.delay+info.padding); total > 0 {
					m.queue.limit = total
				}
			}
			return nil
		}
	}
	m.seen++
	m.bytes += int64(h.size)
	pcm, good := m.decoder.decode(h, frame)
	if good {
		m.broken = false
	} else {
		m.count(int64(h.samples))
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

// fillLost inserts silence for bytes that are not frames. At the end of the file their meaning is unknown, and they take
// no time.
func (m *MP3Reader) fillLost(lost int64, atEnd bool) {
	m.decoder.gap()
	if m.seen == 0 || atEnd {
		m.count(0)
		return
	}
	frames := int64(math.Round(float64(lost) * float64(m.seen) / float64(m.bytes)))
	samples := frames * int64(m.walker.first.samples)
	m.count(samples)
	m.queue.silence += samples
	m.seen += frames
	m.bytes += lost
}

func (m *MP3Reader) count(samples int64) {
	if !m.broken {
		m.damage.Events++
	}
	m.broken = true
	m.damage.Lost += samples
}
