package encode

import (
	"math"
	"slices"
)

const (
	cleanHighPass = 40.0 // Hz; below it is hum, rumble and direct current, and no speech
	cleanLevel    = -20  // dBFS RMS, of the speech
	cleanPeak     = -1   // dBFS
	cleanMaxGain  = 30   // dB: what needs more is noise
	cleanRange    = 25   // dB below the loud frames that still count as speech
)

// Clean returns a copy of mono 16-bit PCM of the given rate (Hz) that is easier to analyse, for a second attempt at a clip
// that was refused for its quality: without direct current and rumble (a high-pass of 40 Hz, 12 dB an octave), and with
// the speech at -20 dBFS RMS, amplified by 30 dB at most, and no peak above -1 dBFS. It has the same length, position by
// position, and silence stays silence. It is not for evidence: keep the original.
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

// highPass is a Butterworth filter of second order. It starts as if the first sample had always been there, so that
// direct current makes no thump.
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

// speechLevel is the RMS of the frames of 20 ms that are not much below the loud ones: pauses must not count, or a clip
// would be made louder for being full of them.
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

// limited writes x times gain to dst, and less than that around peaks. The gain moves in straight lines between the
// borders of blocks, and at a border serves the louder of both, so that no sample exceeds the limit and nothing clicks.
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
