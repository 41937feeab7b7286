package capture

import "time"

// The reasons for which a Segment is skipped. A stretch without speech carries the name of the sound instead:
// "tone", "music" or "noise".
const (
	ReasonTooLittleSpeech = "too_little_speech"
	ReasonTooQuiet        = "too_quiet"
)

// Span is a stretch of samples, from Start up to but without End, counted from the beginning of the leg.
type Span struct{ Start, End int64 }

// Len is the length of the span in samples.
func (s Span) Len() int64 { return s.End - s.Start }

// Segment is a contiguous piece of a leg: either worth an analysis, with its audio, or skipped, with the reason.
type Segment struct {
	// Seq counts the segments of a leg from 0, skipped ones included, in the order in which they were cut.
	Seq int
	// Rate is in Hz.
	Rate int
	// Span is where in the leg the segment lies, in samples at Rate.
	Span Span
	// PCM is the audio, mono, Span.Len() samples; nil when the segment is skipped. It belongs to the receiver.
	PCM []int16
	// Voiced lists where speech was found, within Span, in order and apart. A skipped segment lists none.
	Voiced []Span
	// Speech is the net speech in samples: what Voiced adds up to.
	Speech int64
	// Lost is how many samples of the segment never arrived and are silence instead.
	Lost int64
	// Level is the RMS level of the speech in dBFS (a full-scale square wave is 0). 0 when the segment is skipped for
	// another reason than its level.
	Level float64
	// Forced tells that the cut does not fall into a pause, because none came within the maximum duration.
	Forced bool
	// Skipped is the reason why the segment is not worth an analysis, "" when it is.
	Skipped string
}

// Offset is the position of the segment in the leg.
func (s Segment) Offset() time.Duration { return Duration(s.Span.Start, s.Rate) }

// Duration is the length of the segment.
func (s Segment) Duration() time.Duration { return Duration(s.Span.Len(), s.Rate) }

// SpeechDuration is the net speech of the segment.
func (s Segment) SpeechDuration() time.Duration { return Duration(s.Speech, s.Rate) }

// LostDuration is the part of the segment that never arrived.
func (s Segment) LostDuration() time.Duration { return Duration(s.Lost, s.Rate) }

// Duration is how long n samples last at a rate in Hz.
func Duration(n int64, rate int) time.Duration {
	r := int64(rate) // whole seconds apart, so that the product cannot overflow
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

func durationToSamples(d time.Duration, rate int) int64 {
	return int64(d)/int64(time.Second)*int64(rate) + int64(d)%int64(time.Second)*int64(rate)/int64(time.Second)
}
