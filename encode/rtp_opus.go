//go:build !(libopus && cgo)

package encode

// newRTPOpus returns a decoder in pure Go, which cannot conceal lost packets. The build tag libopus selects another.
func newRTPOpus(channel int) (RTPDecoder, error) {
	d := &rtpOpus{channel: channel}
	d.Reset()
	return d, nil
}

// OpusName names the decoder of live Opus.
func OpusName() string { return "pion/opus" }

// rtpOpus decodes Opus, RFC 7587, straight to 16 kHz. The mix of a stereo packet is not what the decoder makes of it, the sum
// of the channels, in which a voice of opposite phase is missing.
type rtpOpus struct {
	channel int
	mixer   *stereoMix // nil before the first stereo packet
	decoder *OpusDecoder
	samples []float32
	mixed   []float32
}

func (d *rtpOpus) Rate() int { return OpusRate }

func (d *rtpOpus) Reset() {
	d.mixer = nil
	channels := 1
	if d.channel >= 0 {
		channels = 2
	}
	d.decoder, _ = NewOpusDecoder(channels) // it refuses other numbers of channels only
}

func (d *rtpOpus) Decode(dst []int16, payload []byte) ([]int16, error) {
	duration, err := OpusDuration(payload)
	if err != nil {
		return dst, err
	}
	from := len(dst)
	n := duration * OpusRate / 48000
	if len(payload) <= 2 { // RFC 6716 section 2.1.9: nothing is sent, DTX
		dst = append(dst, make([]int16, n)...)
		return dst, nil
	}
	if d.channel < 0 && d.mixer == nil && isStereo(payload) {
		d.mixer = newStereoMix()
		d.decoder, _ = NewOpusDecoder(2)
	}
	if d.samples, err = d.decoder.Decode(d.samples[:0], payload); err != nil {
		return dst, err
	}
	if d.mixer != nil {
		d.mixed = d.mixer.mix(d.mixed[:0], d.samples)
		d.samples = append(d.samples[:0], d.mixed...)
	}
	if d.channel >= 0 {
		for i := d.channel; i < len(d.samples); i += 2 {
			d.samples[i/2] = d.samples[i]
		}
		d.samples = d.samples[:len(d.samples)/2]
	}
	for len(dst) < from+len(d.samples) {
		dst = append(dst, 0)
	}
	ToInt16(dst[from:], d.samples)
	return dst, nil
}
