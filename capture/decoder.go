package capture

// Decoder turns the payloads of one RTP stream into PCM. It keeps state from packet to packet, so each leg needs its own,
// and it is not safe for concurrent use.
type Decoder interface {
	// Decode appends the audio of one payload to dst, mono 16-bit at the rate that the leg was told, and returns it. On
	// an error it returns dst as it was. It does not keep the payload.
	Decode(dst []int16, payload []byte) ([]int16, error)
	// Reset forgets what was decoded, as after a change of the sender.
	Reset()
}

// Recoverer is a Decoder that can make up for lost packets better than by repeating what came before. Package capture
// asks for it by a type assertion.
type Recoverer interface {
	// Recover appends samples of audio for a packet that was lost. next is the payload that follows it, which may carry a
	// copy of it (in-band FEC, RFC 6716 section 2.1.7), or nil. fec tells whether that copy was there and was used.
	Recover(dst []int16, samples int, next []byte) (out []int16, fec bool, err error)
}

// Kind is what the packets of a payload type are.
type Kind uint8

const (
	KindAudio Kind = iota
	KindRED        // RFC 2198: an audio payload with copies of earlier ones before it
	KindEvent      // telephone-event, RFC 4733: a digit, which must not get into the audio
	KindNoise      // comfort noise, RFC 3389: the sender is silent
)

// PayloadType describes an RTP payload type as it was negotiated.
type PayloadType struct {
	Kind Kind
	// ClockRate is that of the RTP timestamps in Hz: 48,000 for Opus, 8,000 for G.711 and, in spite of its 16 kHz of
	// audio, for G.722 (RFC 3551 section 4.5.2).
	ClockRate uint32
	// Decoder decodes the payloads of KindAudio.
	Decoder Decoder
}
