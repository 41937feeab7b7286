package encode

import (
	"errors"
	"fmt"

	"github.com/pion/opus"
)

// OpusRate is the output rate (Hz) of [OpusDecoder]. Frequencies above 8 kHz are not decoded.
const OpusRate = 16_000

// OpusDuration returns the duration of a packet in samples at 48,000 Hz: 120 to 5,760 (RFC 6716, section 3.1).
func OpusDuration(packet []byte) (int, error) {
	if len(packet) == 0 {
		return 0, errors.New("opus packet is empty")
	}
	config := packet[0] >> 3
	var frame int
	switch {
	case config < 12: // SILK
		frame = [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid
		frame = 480 << (config & 1)
	default: // CELT
		frame = 120 << (config & 3)
	}
	count := 1
	switch packet[0] & 3 {
	case 1, 2:
		count = 2
	case 3:
		if len(packet) < 2 {
			return 0, errors.New("opus packet ends before its frame count")
		}
		count = int(packet[1] & 0x3f)
	}
	if count == 0 || count*frame > 5760 {
		return 0, fmt.Errorf("opus packet of %d frames of %d samples", count, frame)
	}
	return count * frame, nil
}

// OpusDecoder decodes the packets of one stream (RFC 6716) to 16,000 Hz. It keeps state between packets, so each stream
// needs its own. It is not safe for concurrent use. It uses no forward error correction and conceals no lost packets.
type OpusDecoder struct {
	dec      opus.Decoder
	channels int
	buf      [2 * 5760 / 3]float32
}

// NewOpusDecoder returns a decoder with 1 or 2 output channels, independent of the channels of the packets.
func NewOpusDecoder(channels int) (*OpusDecoder, error) {
	dec, err := opus.NewDecoderWithOutput(OpusRate, channels)
	if err != nil {
		return nil, fmt.Errorf("opus decoder of %d channels: %w", channels, err)
	}
	return &OpusDecoder{dec: dec, channels: channels}, nil
}

// Decode appends the interleaved samples of a packet to dst and returns it. On an error it returns dst unchanged and
// resets the decoder, so that the next packet can be decoded.
func (d *OpusDecoder) Decode(dst []float32, packet []byte) ([]float32, error) {
	want, err := OpusDuration(packet)
	if err != nil {
		return dst, err
	}
	n, err := d.decode(packet)
	if err == nil && n != want/3 {
		err = fmt.Errorf("%d samples instead of %d", n, want/3)
	}
	if err != nil {
		if err := d.dec.Init(OpusRate, d.channels); err != nil {
			return dst, err
		}
		return dst, fmt.Errorf("decode opus: %w", err)
	}
	// NaN and infinities would stay in every filter that they reach.
	for i, x := range d.buf[:n*d.channels] {
		if !(x >= -maxFloat && x <= maxFloat) {
			d.buf[i] = 0
		}
	}
	return append(dst, d.buf[:n*d.channels]...), nil
}

func (d *OpusDecoder) decode(packet []byte) (n int, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pion/opus: %v", p)
		}
	}()
	return d.dec.DecodeToFloat32(packet, d.buf[:])
}
