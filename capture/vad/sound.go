package vad

import (
	"math"

	"callscreen/capture"
)

// steady classifies a sound that is not speech by the spectra of the analysed frame: a tone has nearly all of its energy in
// one or two lines, noise has no lines, and everything else is music.
func steady(n *network) capture.Sound {
	first := 100 * n.window / n.sampleRate() // hum lies below it
	var power [129]float64
	p := power[:n.bins]
	total, logs := 0.0, 0.0
	for k := first; k < n.bins; k++ {
		for _, m := range n.spectra[4*k:][:4] {
			p[k] += float64(m) * float64(m)
		}
		total += p[k]
		logs += math.Log(p[k] + 1e-12)
	}
	if total == 0 {
		return capture.Noise
	}
	lines := 0.0
	for range 2 {
		peak := first
		for k := first; k < n.bins; k++ {
			if p[k] > p[peak] {
				peak = k
			}
		}
		for k := max(first, peak-2); k <= min(n.bins-1, peak+2); k++ { // a line is this wide under a Hann window
			lines += p[k]
			p[k] = 0
		}
	}
	count := float64(n.bins - first)
	flatness := math.Exp(logs/count) / (total / count)
	switch {
	case lines > 0.9*total:
		return capture.Tone
	case flatness > 0.25:
		return capture.Noise
	}
	return capture.Music
}

// sampleRate returns the sample rate of the model in Hz.
func (m *model) sampleRate() int { return m.frame * 1000 / 32 }
