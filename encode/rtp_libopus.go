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
	d := &rtpLibopus{channel: channel, channels: 1}
	if channel >= 0 {
		d.channels = 2
	}
	var err error
	if d.decoder, err = libopus.NewDecoder(OpusRate, d.channels); err != nil {
		return nil, fmt.Errorf("libopus: %w", err)
	}
	return d, nil
}

type rtpLibopus struct {
	channel, channels int
	decoder           *libopus.Decoder
	pcm               []int16
}

func (d *rtpLibopus) Rate() int { return OpusRate }

func (d *rtpLibopus) Reset() {
	_ = d.decoder.Init(OpusRate, d.channels) // it accepted these before
}

func (d *rtpLibopus) Decode(dst []int16, payload []byte) ([]int16, error) {
	duration, err := OpusDuration(payload)
	if err != nil {
		return dst, err
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
