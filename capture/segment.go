package capture

import "time"

// The reasons for which a Segment is skipped. A stretch without speech has the name of its sound as the reason instead:
// "tone", "music" or "noise".
const (
	ReasonTooLittleSpeech = "too_little_speech"
	ReasonTooQuiet        = "too_quiet"
)

// Span is the half-open range of samples [Start, End), counted from the start of the leg.
type Span struct{ Start, End int64 }

// Len returns the length of the span in samples.
func (s Span) Len() int64 { return s.End - s.Start }

// Segment is a contiguous piece of a leg: either to be analysed, with its audio, or skipped, with the reason.
type Segment struct {
	// Seq counts the segments of a leg from 0, skipped ones included, in the order in which they were cut.
	Seq int
	// Rate is in Hz.
	Rate int
	// Span is the place of the segment in the leg, in samples at Rate.
	Span Span
	// PCM is the audio, mono, Span.Len() samples. It is nil when the segment is skipped. The receiver owns it.
	PCM []int16
	// Voiced lists the speech within Span, in order and without overlap. It is nil when the segment is skipped.
	Voiced []Span
	// Speech is the net speech in samples: the sum of Voiced.
	Speech int64
	// Lost is the number of samples that never arrived and are silence or synthesized instead.
	Lost int64
	// Level is the RMS level of the speech in dBFS (a full-scale square wave is 0). 0 when the segment is skipped for
	// another reason than its level.
	Level float64
	// Forced reports that the cut does not fall into a pause, because there was none within the maximum duration.
	Forced bool
	// Skipped is the reason for which the segment is not analysed, empty if it is.
	Skipped string
}

// Offset returns the position of the segment in the leg.
func (s Segment) Offset() time.Duration { return Duration(s.Span.Start, s.Rate) }

// Duration returns the length of the segment.
func (s Segment) Duration() time.Duration { return Duration(s.Span.Len(), s.Rate) }

// SpeechDuration returns the net speech of the segment.
func (s Segment) SpeechDuration() time.Duration { return Duration(s.Speech, s.Rate) }

// LostDuration returns the length of the part that never arrived.
func (s Segment) LostDuration() time.Duration { return Duration(s.Lost, s.Rate) }

// Duration returns the time that n samples take at a rate in Hz.
func Duration(n int64, rate int) time.Duration {
	r := int64(rate) // whole seconds apart, so that the product cannot overflow
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

func durationToSamples(d time.Duration, rate int) int64 {
	return int64(d)/int64(time.Second)*int64(rate) + int64(d)%int64(time.Second)*int64(rate)/int64(time.Second)
}
