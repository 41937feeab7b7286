package capture

// Sound classifies a frame of audio.
type Sound uint8

// The classes of a VAD. Only Speech is analysed. The others give the reason for which a stretch was skipped.
const (
	Silence Sound = iota
	Speech
	Tone  // one or two steady sinusoids: ring-back, busy, DTMF, fax
	Music // any other steady or harmonic sound without speech, hold music first
	Noise // energy without pitch
)

// String returns the name used in reasons and reports.
func (s Sound) String() string {
	switch s {
	case Silence:
		return "silence"
	case Speech:
		return "speech"
	case Tone:
		return "tone"
	case Music:
		return "music"
	case Noise:
		return "noise"
	}
	return "unknown"
}

// VAD detects speech in one leg. It keeps state from frame to frame, so each leg needs its own. It is not safe for
// concurrent use.
type VAD interface {
	// FrameSize is the length of a frame in samples at the rate that the detector was made for.
	FrameSize() int
	// Classify returns the class of the next frame: mono 16-bit PCM of exactly FrameSize samples. It does not keep the slice.
	Classify(frame []int16) Sound
	// Reset drops the state. It is called after a gap in the audio.
	Reset()
}
