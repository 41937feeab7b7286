package clip

import (
	"errors"
	"io"

	"callscreen/analyzer"
	"callscreen/encode"
)

// MayHelp reports whether a cleaned copy may get a score after an analysis of the original failed with err.
func MayHelp(err error) bool { return err != nil && analyzer.MayBeAudio(err) }

// Cleaned returns the samples of a mono WAV file trimmed to its speech, without DC and at a usual level. voiced is that of
// [Voiced].
func Cleaned(wav io.Reader, rate int, voiced [][2]int64) ([]int16, error) {
	if len(voiced) == 0 {
		return nil, errors.New("clean clip: it holds no speech")
	}
	pcm, err := samples(wav, voiced[0][0], voiced[len(voiced)-1][1])
	if err != nil {
		return nil, err
	}
	return encode.Clean(pcm, rate), nil
}

// samples reads a mono WAV file from the sample first up to last, exclusive.
func samples(wav io.Reader, first, last int64) ([]int16, error) {
	src, err := encode.NewWAVReader(wav)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	all := make([]float32, last)
	for n := 0; n < len(all); {
		k, err := src.Read(all[n:])
		if err != nil {
			return nil, err
		}
		n += k
	}
	pcm := make([]int16, last-first)
	encode.ToInt16(pcm, all[first:])
	return pcm, nil
}
