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

// Piece is a stretch of the leg within the audio of a packed segment.
type Piece struct {
	// At is the offset of the piece in Segment.PCM, in samples.
	At int64
	// Span is the place of the piece in the leg.
	Span Span
}

// Segment is a part of a leg: either to be analysed, with its audio, or skipped, with the reason.
//
// Most segments are contiguous. A packed segment joins runs of speech that are too short for a segment of their own, with
// silence between them, and lists their places in Pieces. Skipped segments of other sound may lie between its pieces; no
// sample is in two segments.
type Segment struct {
	// Seq counts the segments of a leg from 0, skipped ones included, in the order in which they were cut.
	Seq int
	// Rate is the sample rate in Hz. It rises when a leg goes on with a codec of a higher rate: use Offset to compare the
	// positions of segments.
	Rate int
	// Span is the place of the segment in the leg, in samples at Rate. That of a packed segment extends from the start of
	// its first piece to the end of its last one.
	Span Span
	// PCM is the audio, mono. It is nil when the segment is skipped. The receiver owns it.
	PCM []int16
	// Pieces lists the places of a packed segment, in order and without overlap. It is nil when the segment is contiguous.
	Pieces []Piece
	// Voiced lists the speech by its place in the leg, in order and without overlap. It is nil when the segment is skipped.
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

// Offset returns the start of the segment in the leg.
func (s Segment) Offset() time.Duration { return Duration(s.Span.Start, s.Rate) }

// End returns the end of the segment in the leg.
func (s Segment) End() time.Duration { return Duration(s.Span.End, s.Rate) }

// Duration returns the length of the audio. It is less than End-Offset when the segment is packed.
func (s Segment) Duration() time.Duration { return Duration(s.length(), s.Rate) }

func (s Segment) length() int64 {
	if n := len(s.Pieces); n > 0 {
		return s.Pieces[n-1].At + s.Pieces[n-1].Span.Len()
	}
	return s.Span.Len()
}

// SpeechDuration returns the net speech of the segment.
func (s Segment) SpeechDuration() time.Duration { return Duration(s.Speech, s.Rate) }

// LostDuration returns the length of the part that never arrived.
func (s Segment) LostDuration() time.Duration { return Duration(s.Lost, s.Rate) }

// Places returns the places of the audio in the leg: Pieces, or one piece when the segment is contiguous.
func (s Segment) Places() []Piece {
	if s.Pieces != nil {
		return s.Pieces
	}
	return []Piece{{Span: s.Span}}
}

// VoicedPCM returns the speech by its place in PCM, in samples.
func (s Segment) VoicedPCM() []Span {
	places := s.Places()
	out := make([]Span, 0, len(s.Voiced))
	for _, v := range s.Voiced {
		for len(places) > 1 && v.Start >= places[0].Span.End {
			places = places[1:]
		}
		move := places[0].At - places[0].Span.Start
		out = append(out, Span{v.Start + move, v.End + move})
	}
	return out
}

// Resampled returns the segment with its audio replaced by pcm, the same audio at another rate. All positions are
// converted.
func (s Segment) Resampled(rate int, pcm []int16) Segment {
	end, from := int64(len(pcm)), s.Rate
	convert := func(n int64) int64 { return rescale(n, from, rate) }
	span := Span{convert(s.Span.Start), convert(s.Span.End)}
	if s.Pieces == nil {
		span.End = span.Start + end
	}
	pieces := make([]Piece, 0, len(s.Pieces))
	for _, p := range s.Pieces {
		start, at := convert(p.Span.Start), min(convert(p.At), end)
		n := min(convert(p.Span.End)-start, end-at)
		pieces = append(pieces, Piece{At: at, Span: Span{start, start + n}})
	}
	voiced := make([]Span, 0, len(s.Voiced))
	for _, v := range s.Voiced {
		v = Span{max(convert(v.Start), span.Start), min(convert(v.End), span.End)}
		voiced = append(voiced, v)
	}
	if s.Pieces != nil {
		s.Pieces = pieces
	}
	s.PCM, s.Span, s.Voiced, s.Rate = pcm, span, voiced, rate
	s.Speech, s.Lost = convert(s.Speech), convert(s.Lost)
	return s
}

// Duration returns the time that n samples take at a rate in Hz.
func Duration(n int64, rate int) time.Duration {
	r := int64(rate) // whole seconds apart, so that the product cannot overflow
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

func durationToSamples(d time.Duration, rate int) int64 {
	return int64(d)/int64(time.Second)*int64(rate) + int64(d)%int64(time.Second)*int64(rate)/int64(time.Second)
}

// rescale returns a position or length of n samples at a rate as samples at another rate.
func rescale(n int64, from, to int) int64 {
	f, t := int64(from), int64(to)
	return n/f*t + n%f*t/f
}

// audioTime returns the length of the audio that arrived, without silence between pieces.
func (s Segment) audioTime() time.Duration {
	n := -s.Lost
	for _, p := range s.Places() {
		n += p.Span.Len()
	}
	return Duration(max(n, 0), s.Rate)
}
