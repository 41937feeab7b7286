package encode

import (
	"io"
	"math"
)

// OpusReader decodes Ogg Opus to 16,000 Hz, in one pass. It implements [Source]. Gaps are silence.
type OpusReader struct {
	ogg    *OggReader
	dec    *OpusDecoder
	gain   float32
	format Format
	queue  queue
	pcm    []float32
	pos    int64 // at 48,000 Hz
	out    int64 // at 16,000 Hz
	damage Damage
}

// NewOpusReader reads the headers. It owns r from then on, and closes it in Close if it is an [io.Closer]. On an error r
// is left to the caller.
func NewOpusReader(r io.Reader) (*OpusReader, error) {
	return newOpusReader(r, nil, false)
}

// maxPreSkip bounds the samples (48,000 Hz) that are dropped at the start. Encoders need 80 ms at most.
const maxPreSkip = 5760

// newOpusReader reads the stream with the given serial number, or the first of Opus. If stereo is true it returns two
// channels, whatever the header declares: a mono decoder would drop the difference of the channels.
func newOpusReader(r io.Reader, serial *uint32, stereo bool) (*OpusReader, error) {
	ogg, err := newOggReader(r, serial)
	if err != nil {
		return nil, err
	}
	channels := ogg.head.Channels
	if stereo {
		channels = 2
	}
	dec, err := NewOpusDecoder(channels)
	if err != nil {
		return nil, err
	}
	return &OpusReader{
		ogg:    ogg,
		dec:    dec,
		gain:   float32(math.Pow(10, ogg.head.Gain/20)),
		format: Format{Rate: OpusRate, Channels: channels, Container: "ogg", Codec: "opus"},
		queue:  queue{channels: channels, limit: -1, skip: int64(min(ogg.head.PreSkip, maxPreSkip)+1) / 3},
	}, nil
}

// trim keeps what the first and the last packets of a part of a file would lose: the parts of a chain are cut out of one recording, and
// small ones can lose everything.
func (o *OpusReader) trim(s span) {
	if s.follows {
		o.queue.skip = 0
	}
	o.ogg.keepEnd = s.goesOn
}

// Format implements [Source].
func (o *OpusReader) Format() Format { return o.format }

// Damage counts gaps, damaged pages, and packets that could not be decoded.
func (o *OpusReader) Damage() Damage {
	d := o.damage
	d.Events += o.ogg.holes + o.ogg.refused
	return d
}

// Account books the bytes of the file that were reached.
func (o *OpusReader) Account() Account { return o.ogg.Account() }

// lose counts frames that are silence.
func (o *OpusReader) lose(frames int64) {
	o.damage.Lost += frames
	o.ogg.own.DamagedTime += seconds(float64(frames) / OpusRate)
	o.queue.silence += frames
}

// Read implements [Source].
func (o *OpusReader) Read(dst []float32) (int, error) { return o.queue.read(dst, o.fill) }

// Close closes the underlying reader if it can be closed.
func (o *OpusReader) Close() error {
	if o.queue.err == nil {
		o.queue.err = errClosed
	}
	o.queue.silence, o.queue.pcm = 0, nil
	return o.ogg.Close()
}

// fill decodes the next packet.
func (o *OpusReader) fill() error {
	packet, samples, err := o.ogg.NextPacket()
	if err != nil {
		return err
	}
	o.pos += int64(samples)
	frames := (o.pos+2)/3 - o.out
	o.out += frames
	if packet == nil {
		o.lose(frames)
		return nil
	}
	if o.pcm, err = o.dec.Decode(o.pcm[:0], packet); err != nil {
		o.damage.Events++
		o.ogg.discard(len(packet))
		o.lose(frames)
		return nil //nolint:nilerr // one bad packet is damage, not the end
	}
	o.pcm = o.pcm[:min(int(frames)*o.format.Channels, len(o.pcm))]
	if o.gain != 1 {
		for i := range o.pcm {
			o.pcm[i] *= o.gain
		}
	}
	o.queue.pcm = o.pcm
	return nil
}
