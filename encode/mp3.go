package encode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/hajimehoshi/go-mp3"
)

// MP3Reader reads MPEG audio layer III in one pass: MPEG-1 and MPEG-2 (16 to 48 kHz) and of MPEG-2.5 the rates 11,025
// and 12,000 Hz. Free format, 8,000 Hz, and intensity stereo are refused with an [UnsupportedError]. It implements
// [Source].
//
// Frames that are damaged, or whose data was in frames that are, are silent and counted in Damage; so is the time of what
// is missing between them, judged by its bytes. What the encoder put before and after the audio is removed where the
// LAME tag says how much it is.
type MP3Reader struct {
	r       io.Reader
	walker  mp3Walker
	decoder mp3Decoder
	format  Format
	queue   queue
	pcm     []float32
	damage  Damage
	broken  bool  // the last frame was damaged: one event per stretch
	seen    int64 // frames, damaged ones included
	bytes   int64 // of good frames, for the average
	info    *mp3Info
}

// decoderDelay is how much later than the input a layer III decoder gives it: 528 samples of the filter bank, and one.
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

// fillLost keeps the time of bytes that are no frames. At the end of the file they may be anything, and take no time.
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

// mp3Decoder gives go-mp3 one frame at a time, each one known to be decodable. It keeps account of the bit reservoir,
// because go-mp3 decodes a frame whose data is missing from whatever is there.
type mp3Decoder struct {
	dec       *mp3.Decoder
	feed      mp3Feed
	frame     []byte // as it is fed
	have      int    // bytes of reservoir that go-mp3 has, for feedRaw
	reservoir []byte // bytes before this frame, for feedRepacked
	out       []byte
}

// mp3Feed is one frame as a reader.
type mp3Feed struct{ b []byte }

func (f *mp3Feed) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

// gap forgets the reservoir: the frame before is not the one before in the file.
func (d *mp3Decoder) gap() {
	d.have = 0
	d.reservoir = d.reservoir[:0]
}

// decode returns 16-bit stereo PCM, little-endian, valid until the next call, or nil if there is none. Unless good, what
// it returns is silence but for the end of the frame before.
func (d *mp3Decoder) decode(h mp3Header, frame []byte) (pcm []byte, good bool) {
	side := parseMP3Side(h, frame)
	if h.version == 1 || h.version == 2 && h.rate != 22050 {
		good = d.feedRaw(h, side, frame)
	} else {
		good = d.feedRepacked(h, side, frame)
	}
	pcm, err := d.run(h)
	if err != nil {
		d.dec = nil
		d.gap()
		return nil, false
	}
	return pcm, good
}

// feedRaw gives a frame as it is or, if it cannot be decoded, without what there would be to decode: its bytes
// are needed by the frames behind it.
func (d *mp3Decoder) feedRaw(h mp3Header, side mp3Side, frame []byte) bool {
	main := h.size - h.sideStart() - h.sideSize()
	d.frame = append(d.frame[:0], frame...)
	good := side.valid && !h.intensity && side.begin <= d.have && side.bits <= 8*(side.begin+main)
	begin := side.begin
	if !good {
		s := d.frame[h.sideStart() : h.sideStart()+h.sideSize()]
		clear(s)
		if h.version == 1 {
			begin = min(d.have, 511)
			s[0], s[1] = byte(begin>>1), byte(begin<<7)
		} else {
			begin = min(d.have, 255)
			s[0] = byte(begin)
		}
	}
	d.have = begin + main
	return good
}

// feedRepacked gives a frame of 22,050, 12,000 or 11,025 Hz as one that needs no others and no padding. go-mp3 v0.3.4 computes the size of a
// padded frame wrongly where the size of the unpadded one is a whole number of half bytes, as at 22,050 Hz and 32 kbit/s,
// and reads noise from then on; at 24,000 and 16,000 Hz there is no padding. MPEG-2.5 at 11,025 and 12,000 Hz differs
// from MPEG-2 at 16,000 Hz in nothing but its header. A frame that does not fit, which takes more than 160 kbit/s for a
// moment, is counted as damaged.
func (d *mp3Decoder) feedRepacked(h mp3Header, side mp3Side, frame []byte) bool {
	start, size := h.sideStart(), h.sideSize()
	main := frame[start+size:]
	good := side.valid && !h.intensity && side.begin <= len(d.reservoir) && side.bits <= 8*(side.begin+len(main))
	need := 0
	if good {
		need = (side.bits + 7) / 8
	}
	rateIndex := h.rateIndex
	if h.version == 25 {
		rateIndex = 2
	}
	rate := [3]int{22050, 24000, 16000}[rateIndex]
	index, room := 0, -1
	for index < 14 && room < need {
		index++
		room = 72*mp3Bitrate(2, index)/rate - 4 - size
	}
	if room < need {
		good, need = false, 0
	}
	d.frame = append(d.frame[:0], 0xff, 0xf3, byte(index<<4|rateIndex<<2), frame[3]&^3)
	d.frame = append(d.frame, frame[start:start+size]...)
	if good {
		d.frame[4] = 0 // begin
		old := d.reservoir[len(d.reservoir)-side.begin:]
		old = old[:min(len(old), need)]
		d.frame = append(d.frame, old...)
		d.frame = append(d.frame, main[:need-len(old)]...)
	} else {
		clear(d.frame[4:])
	}
	d.frame = append(d.frame, make([]byte, room-need)...)

	d.reservoir = append(d.reservoir, main...)
	if n := len(d.reservoir) - 255; n > 0 {
		d.reservoir = d.reservoir[:copy(d.reservoir, d.reservoir[n:])]
	}
	return good
}

// run decodes the frame that was fed. What go-mp3 does not survive is an error like any other.
func (d *mp3Decoder) run(h mp3Header) (pcm []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("go-mp3: %v", p)
		}
	}()
	d.feed.b = d.frame
	if d.dec == nil {
		// A plain reader: given a Seeker, go-mp3 reads the whole file first.
		if d.dec, err = mp3.NewDecoder(&d.feed); err != nil {
			return nil, err
		}
	}
	if d.out == nil {
		d.out = make([]byte, 4*h.samples)
	}
	_, err = io.ReadFull(d.dec, d.out)
	return d.out, err
}
