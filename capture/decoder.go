package capture

import "time"

// Decoder decodes the payloads of one RTP stream to PCM. It keeps state from packet to packet, so each leg needs its own.
// It is not safe for concurrent use.
type Decoder interface {
	// Rate returns the sample rate of the audio in Hz. It never changes.
	Rate() int
	// Decode appends the audio of one payload to dst, mono 16-bit, and returns the extended slice. On an error it returns
	// dst unchanged. It does not keep the payload.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Reset drops the decoder state, as after a change of the sender.
	Reset()
}

// Recoverer is a Decoder that can replace lost packets better than by repeating earlier audio. A Leg asks for it by a type
// assertion.
type Recoverer interface {
	// Recover appends samples of audio for a lost packet. next is the payload that follows it, which may carry a copy of
	// it (in-band FEC, RFC 6716 section 2.1.7), or nil. fec reports whether such a copy was found and used.
	Recover(dst []int16, samples int, next []byte) (out []int16, fec bool, err error)
}

// Kind is the use of a payload type.
type Kind uint8

const (
	KindAudio Kind = iota
	KindRED        // RFC 2198: an audio payload with copies of earlier ones before it
	KindEvent      // telephone-event, RFC 4733: a digit, which must not get into the audio
	KindNoise      // comfort noise, RFC 3389: the sender is silent
)

// The longest payloads of telephone-event, with four events of before, and of comfort noise, with all coefficients of a model.
const (
	maxEvent = 20
	maxNoise = 32
)

// holds reports whether a payload can be of the kind: a voice under a payload type without audio must not pass as understood.
func (k Kind) holds(payload []byte) bool {
	switch k {
	case KindEvent:
		return len(payload)%4 == 0 && len(payload) <= maxEvent
	case KindNoise:
		return len(payload) <= maxNoise
	}
	return true
}

// quiet reports whether packets of the kind hold no audio.
func (k Kind) quiet() bool { return k == KindEvent || k == KindNoise }

const (
	// signalRate is the rate in bytes a second above which packets without audio may be a voice: an event with its repeats needs 200 to
	// 250, comfort noise less, and speech codecs from 600 on.
	signalRate = 500
	// signalBurst bounds the bytes that come at once, after a stall.
	signalBurst = 3000
)

// Signals bounds the rate of packets of telephone-event and comfort noise. The zero value is ready.
type Signals struct {
	used float64 // bytes
	at   time.Time
}

// Take counts a payload, and reports whether the rate permits it. If not, it may be a voice.
func (s *Signals) Take(bytes int, now time.Time) bool {
	if !s.at.IsZero() {
		s.used = max(s.used-signalRate*now.Sub(s.at).Seconds(), 0)
	}
	s.at = now
	if s.used+float64(bytes) > signalBurst {
		return false
	}
	s.used += float64(bytes)
	return true
}

// PayloadType describes an RTP payload type as it was negotiated.
type PayloadType struct {
	Kind Kind
	// ClockRate is the rate of the RTP timestamps in Hz: 48,000 for Opus, 8,000 for G.711 and, in spite of its 16 kHz of
	// audio, for G.722 (RFC 3551 section 4.5.2).
	ClockRate uint32
	// Decoder decodes the payloads of KindAudio.
	Decoder Decoder
}
