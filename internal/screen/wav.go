package screen

import (
	"io"

	"callscreen/capture"
	"callscreen/encode"
)

// resampled brings a segment to the rate of the WAV files. Legs are recorded at the rate of their codec, so that their
// positions are exact; a whole segment can be converted without moving anything. A rate of 0 leaves it as it is.
func resampled(audio capture.Segment, to int) (capture.Segment, error) {
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
	convert := func(span capture.Span) capture.Span {
		return capture.Span{Start: span.Start * int64(to) / int64(audio.Rate), End: span.End * int64(to) / int64(audio.Rate)}
	}
	span := convert(audio.Span)
	span.End = span.Start + int64(len(out))
	voiced := make([]capture.Span, 0, len(audio.Voiced))
	for _, v := range audio.Voiced {
		v = convert(v)
		v.Start, v.End = max(v.Start, span.Start), min(v.End, span.End)
		voiced = append(voiced, v)
	}
	audio.PCM, audio.Span, audio.Voiced, audio.Rate = make([]int16, len(out)), span, voiced, to
	encode.ToInt16(audio.PCM, out)
	return audio, nil
}

// trimmed is the samples of a mono WAV file from first to before last.
func trimmed(wav io.Reader, first, last int64) ([]int16, error) {
	src, err := encode.NewWAVReader(wav)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	samples := make([]float32, last)
	for n := 0; n < len(samples); {
		k, err := src.Read(samples[n:])
		if err != nil {
			return nil, err
		}
		n += k
	}
	pcm := make([]int16, last-first)
	encode.ToInt16(pcm, samples[first:])
	return pcm, nil
}
