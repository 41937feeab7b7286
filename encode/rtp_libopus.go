//go:build libopus && cgo

package encode

import (
	"fmt"

	libopus "github.com/hraban/opus"
)

// newRTPOpus returns a decoder of libopus, which can conceal lost packets: from the copy that the next packet may carry
// (in-band FEC, RFC 6716 section 2.1.7), or else by its own concealment. It is built with
//
//	CGO_ENABLED=1 go build -tags libopus,nolibopusfile ./...
//
// and needs libopus and its headers.
func newRTPOpus(channel int) (RTPDecoder, error) {
	d := &rtpLibopus{channel: channel}
	channels := 1
	if channel >= 0 {
		channels = 2
	}
	return d, d.init(channels)
}

// OpusName names the decoder of live Opus.
func OpusName() string { return libopus.Version() }

type rtpLibopus struct {
	channel, channels int
	decoder           *libopus.Decoder
	mixer             *stereoMix // nil before the first stereo packet whose channels are mixed
	pcm               []int16
	samples, mixed    []float32
}

func (d *rtpLibopus) Rate() int { return OpusRate }

// init makes a new decoder: libopus does not initialize one twice.
func (d *rtpLibopus) init(channels int) (err error) {
	if d.decoder, err = libopus.NewDecoder(OpusRate, channels); err != nil {
		return fmt.Errorf("libopus: %w", err)
	}
	d.channels = channels
	return nil
}

func (d *rtpLibopus) Reset() {
	channels := d.channels
	if d.mixer != nil {
		d.mixer, channels = nil, 1
	}
	_ = d.init(channels) // it accepted these before
}

func (d *rtpLibopus) Decode(dst []int16, payload []byte) ([]int16, error) {
	duration, err := OpusDuration(payload)
	if err != nil {
		return dst, err
	}
	if d.channel < 0 && d.mixer == nil && isStereo(payload) { // the decoder would add the channels, which may cancel
		d.mixer = newStereoMix()
		if err := d.init(2); err != nil {
			return dst, err
		}
	}
	n := duration / (48000 / OpusRate)
	pcm := d.buffer(n)
	got, err := d.decoder.Decode(payload, pcm)
	if err != nil {
		return dst, fmt.Errorf("decode opus: %w", err)
	}
	return d.append(dst, pcm[:got*d.channels]), nil
}

// Recover implements capture.Recoverer.
func (d *rtpLibopus) Recover(dst []int16, samples int, next []byte) ([]int16, bool, error) {
	pcm := d.buffer(samples)
	fec := next != nil && hasFEC(next)
	var err error
	if fec {
		err = d.decoder.DecodeFEC(next, pcm)
	} else {
		err = d.decoder.DecodePLC(pcm)
	}
	if err != nil {
		return dst, false, fmt.Errorf("conceal opus: %w", err)
	}
	return d.append(dst, pcm), fec, nil
}

func (d *rtpLibopus) buffer(samples int) []int16 {
	if n := samples * d.channels; cap(d.pcm) < n {
		d.pcm = make([]int16, n)
	}
	return d.pcm[:samples*d.channels]
}

// append appends the selected channel.
func (d *rtpLibopus) append(dst, pcm []int16) []int16 {
	if d.mixer != nil {
		d.samples = d.samples[:0]
		for _, v := range pcm {
			d.samples = append(d.samples, float32(v)/32768)
		}
		d.mixed = d.mixer.mix(d.mixed[:0], d.samples)
		from := len(dst)
		dst = append(dst, make([]int16, len(d.mixed))...)
		ToInt16(dst[from:], d.mixed)
		return dst
	}
	if d.channel < 0 {
		return append(dst, pcm...)
	}
	for i := d.channel; i < len(pcm); i += 2 {
		dst = append(dst, pcm[i])
	}
	return dst
}

// hasFEC reports whether a packet of one SILK or hybrid frame carries a copy of the frame before it. The flag follows the
// voice activity flags at the start of the frame (RFC 6716, section 4.2.3).
func hasFEC(packet []byte) bool {
	if len(packet) < 2 || packet[0]&3 != 0 || packet[0]>>3 >= 16 {
		return false
	}
	frames := 1
	if config := packet[0] >> 3; config < 12 { // SILK: 10, 20, 40 or 60 ms
		frames = max(1, int(config%4))
	}
	return packet[1]>>(7-frames)&1 == 1
}
