package encode

import (
	"fmt"
	"strings"
)

// RTPDecoder decodes the payloads of one RTP stream to mono 16-bit PCM. It keeps state between packets. It is not safe for
// concurrent use.
type RTPDecoder interface {
	// Rate returns the rate of the audio in Hz: 16,000 for Opus and G.722, 8,000 for G.711.
	Rate() int
	// Decode appends the audio of one payload to dst and returns it. On an error it returns dst unchanged. It does not
	// retain the payload.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Reset clears the state of the decoder.
	Reset()
}

// CodecError reports that there is no decoder for the codec of a stream.
type CodecError struct{ MimeType string }

func (e *CodecError) Error() string { return fmt.Sprintf("there is no decoder for %s", e.MimeType) }

// Hint returns the remedy.
func (e *CodecError) Hint() string { return "offer Opus, G722, PCMU or PCMA" }

// NewRTPDecoder returns a decoder for a media type such as "audio/opus", in upper or lower case. channel selects channel 0
// or 1 of an Opus stream that two parties share, or is -1 for the mix of both.
func NewRTPDecoder(mimeType string, channel int) (RTPDecoder, error) {
	switch strings.ToLower(mimeType) {
	case "audio/opus":
		return newRTPOpus(channel)
	case "audio/pcmu":
		return rtpG711{NewMuLawDecoder()}, nil
	case "audio/pcma":
		return rtpG711{NewALawDecoder()}, nil
	case "audio/g722":
		d := &rtpG722{}
		d.Reset()
		return d, nil
	}
	return nil, &CodecError{MimeType: mimeType}
}

// isStereo reports whether an Opus packet holds two channels, RFC 6716, section 3.1.
func isStereo(packet []byte) bool { return len(packet) > 0 && packet[0]&4 != 0 }

// stereoMix mixes the channels of a stereo stream. Channels that only the encoder makes differ are added, as decoders do, and
// the mix of [Mixer] begins with the first packet whose difference is a sound of its own.
type stereoMix struct {
	mixer  *Mixer
	differ bool
}

// ownSound is the power of the difference, as a share of that of the sum, from which it is a sound of its own.
const ownSound = 0.02

func newStereoMix() *stereoMix { return &stereoMix{mixer: NewMixer(2)} }

// mix appends the mix of interleaved samples to dst.
func (m *stereoMix) mix(dst, src []float32) []float32 {
	var sum, difference float64
	for i := 0; i+1 < len(src) && !m.differ; i += 2 {
		l, r := float64(src[i]), float64(src[i+1])
		sum += (l + r) * (l + r)
		difference += (l - r) * (l - r)
	}
	const silent = 1e-7
	if m.differ = m.differ || difference > ownSound*sum+silent*float64(len(src)); m.differ {
		return m.mixer.Mix(dst, src)
	}
	for i := 0; i+1 < len(src); i += 2 {
		dst = append(dst, (src[i]+src[i+1])/2)
	}
	return dst
}

type rtpG711 struct {
	decoder interface {
		Decode(dst []int16, src []byte) []int16
	}
}

func (d rtpG711) Rate() int { return 8000 }
func (d rtpG711) Reset()    {}
func (d rtpG711) Decode(dst []int16, payload []byte) ([]int16, error) {
	return d.decoder.Decode(dst, payload), nil
}

type rtpG722 struct{ decoder *G722Decoder }

func (d *rtpG722) Rate() int { return 16000 }
func (d *rtpG722) Reset()    { d.decoder = NewG722Decoder() }
func (d *rtpG722) Decode(dst []int16, payload []byte) ([]int16, error) {
	return d.decoder.Decode(dst, payload), nil
}
