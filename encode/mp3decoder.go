package encode

import (
	"fmt"
	"io"

	"github.com/hajimehoshi/go-mp3"
)

// mp3Decoder feeds go-mp3 one frame at a time, each one known to be decodable. It tracks the bit reservoir, because go-mp3
// decodes a frame whose data is missing from unrelated bytes.
type mp3Decoder struct {
	dec       *mp3.Decoder
	feed      mp3Feed
	frame     []byte // the frame to feed
	have      int    // bytes in the reservoir of go-mp3, for feedRaw
	reservoir []byte // bytes before this frame, for feedRepacked
	out       []byte
}

// mp3Feed is a reader of one frame.
type mp3Feed struct{ b []byte }

func (f *mp3Feed) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

// gap clears the reservoir, because the next frame does not follow the last one.
func (d *mp3Decoder) gap() {
	d.have = 0
	d.reservoir = d.reservoir[:0]
}

// decode returns 16-bit little-endian stereo PCM, valid until the next call, or nil if there is none. If good is false, the
// PCM is silence except for the tail of the previous frame.
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

// feedRaw feeds a frame unchanged. If the frame cannot be decoded, its side information is cleared, but its bytes are
// still fed because the next frames need them.
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

// feedRepacked feeds a frame of 22,050, 12,000 or 11,025 Hz as one that needs no reservoir and no padding. go-mp3 v0.3.4
// computes a wrong size for some padded frames, for example at 22,050 Hz and 32 kbit/s, and decodes noise from there on.
// Frames of 24,000 and 16,000 Hz have no padding. MPEG-2.5 at 11,025 and 12,000 Hz differs from MPEG-2 at 16,000 Hz only
// in its header. A frame that needs more than 160 kbit/s does not fit and is counted as damaged.
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

// run decodes the fed frame. A panic of go-mp3 becomes an error.
func (d *mp3Decoder) run(h mp3Header) (pcm []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("go-mp3: %v", p)
		}
	}()
	d.feed.b = d.frame
	if d.dec == nil {
		// The feed is no Seeker: go-mp3 would read all of a Seeker first.
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
