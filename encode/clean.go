package encode

import (
	"math"
	"slices"
)

const (
	cleanHighPass = 40.0 // Hz; speech has no energy below
	cleanLevel    = -20  // dBFS RMS of the speech
	cleanPeak     = -1   // dBFS
	cleanMaxGain  = 30   // dB; a clip that needs more is noise
	cleanRange    = 25   // dB below the loud frames that still count as speech
)

// Clean returns a copy of mono 16-bit PCM of the given rate (Hz) that is easier to analyse. It is for a second attempt at
// a clip that was refused for its quality. A high-pass (40 Hz, 12 dB per octave) removes direct current and rumble. The
// speech is brought to -20 dBFS RMS with a gain of up to 30 dB, and no peak exceeds -1 dBFS. Length and positions stay the
// same, and silence stays silence. The copy is not evidence: keep the original.
func Clean(pcm []int16, rate int) []int16 {
	out := make([]int16, len(pcm))
	if len(pcm) == 0 || rate <= 0 {
		copy(out, pcm)
		return out
	}
	x := highPass(pcm, rate)
	gain := dB(cleanLevel) / max(speechLevel(x, rate), 1e-9)
	gain = min(gain, dB(cleanMaxGain))
	limited(out, x, gain, max(1, rate/200))
	return out
}

func dB(v float64) float64 { return math.Pow(10, v/20) }

// highPass is a Butterworth filter of second order. Its state starts at the first sample, so that direct current makes no
// transient.
func highPass(pcm []int16, rate int) []float64 {
	w := math.Tan(math.Pi * min(cleanHighPass/float64(rate), 0.4))
	n := 1 / (1 + math.Sqrt2*w + w*w)
	a1, a2 := 2*n*(w*w-1), n*(1-math.Sqrt2*w+w*w)
	x := make([]float64, len(pcm))
	first := float64(pcm[0]) / 32768
	x1, x2, y1, y2 := first, first, 0.0, 0.0
	for i, v := range pcm {
		in := float64(v) / 32768
		y := n*(in-2*x1+x2) - a1*y1 - a2*y2
		x1, x2, y1, y2 = in, x1, y, y1
		x[i] = y
	}
	return x
}

// speechLevel returns the RMS of the 20 ms frames that are at most cleanRange below the loud ones. Pauses must not count,
// or a clip with many pauses would become too loud.
func speechLevel(x []float64, rate int) float64 {
	size := max(1, rate/50)
	var frames []float64
	for rest := x; len(rest) > 0; {
		n := min(size, len(rest))
		var sum float64
		for _, v := range rest[:n] {
			sum += v * v
		}
		frames = append(frames, sum/float64(n))
		rest = rest[n:]
	}
	slices.Sort(frames)
	loud := frames[(len(frames)-1)*95/100]
	floor := loud * dB(-cleanRange) * dB(-cleanRange)
	var sum, n float64
	for _, e := range frames {
		if e >= floor {
			sum += e
			n++
		}
	}
	return math.Sqrt(sum / n)
}

// limited writes x times gain to dst, with a lower gain around peaks. The gain is linear between the borders of blocks.
// At a border it fits the louder of the two blocks, so that no sample exceeds the limit and there are no steps.
func limited(dst []int16, x []float64, gain float64, block int) {
	limit := dB(cleanPeak)
	need := func(from int) float64 {
		if from < 0 || from >= len(x) {
			return gain
		}
		peak := 0.0
		for _, v := range x[from:min(from+block, len(x))] {
			peak = max(peak, math.Abs(v))
		}
		if peak*gain > limit {
			return limit / peak
		}
		return gain
	}
	before, here := need(-1), need(0)
	for from := 0; from < len(x); from += block {
		after := need(from + block)
		start, end := min(before, here), min(here, after)
		for i, v := range x[from:min(from+block, len(x))] {
			g := start + (end-start)*float64(i)/float64(block)
			dst[from+i] = int16(math.Round(v * g * 32767))
		}
		before, here = here, after
	}
}
