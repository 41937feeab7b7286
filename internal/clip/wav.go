// Package clip turns segments into the WAV files that are uploaded.
package clip

import (
	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/report"
)

// Resample converts a segment to the rate of the WAV files. Legs are recorded at the rate of their codec so that their
// positions are exact; converting whole segments moves none of them. A rate of 0 keeps the rate of the segment.
func Resample(audio capture.Segment, to int) (capture.Segment, error) {
	if to == 0 || to == audio.Rate {
		return audio, nil
	}
	r, err := encode.NewResampler(audio.Rate, to)
	if err != nil {
		return audio, err
	}
	in := make([]float32, len(audio.PCM))
	encode.ToFloat32(in, audio.PCM)
	out := r.Flush(r.Process(nil, in))
	pcm := make([]int16, len(out))
	encode.ToInt16(pcm, out)
	return audio.Resampled(to, pcm), nil
}

// Pieces returns the places of the pieces of a packed segment, nil for a contiguous one.
func Pieces(audio capture.Segment) (pieces []report.Piece) {
	for _, p := range audio.Pieces {
		pieces = append(pieces, report.Piece{
			At:       report.Seconds(capture.Duration(p.At, audio.Rate)),
			Offset:   report.Seconds(capture.Duration(p.Span.Start, audio.Rate)),
			Duration: report.Seconds(capture.Duration(p.Span.Len(), audio.Rate)),
		})
	}
	return pieces
}

// Voiced returns the places of speech in the PCM of a segment, each as its first sample and the one after its last.
func Voiced(audio capture.Segment) (spans [][2]int64) {
	for _, v := range audio.VoicedPCM() {
		spans = append(spans, [2]int64{v.Start, v.End})
	}
	return spans
}
