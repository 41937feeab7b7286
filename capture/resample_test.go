package capture

import (
	"math"
	"testing"
)

func sine(hz float64, rate, n int) []int16 {
	pcm := make([]int16, n)
	for i := range pcm {
		pcm[i] = int16(10000 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return pcm
}

func rms(pcm []int16) float64 {
	return math.Sqrt(energy(pcm) / float64(len(pcm)))
}

// A tone keeps its level and its place in time; what lies above half of the new rate disappears. The blocks may have any
// size, and no sample is added or lost.
func TestResampler(t *testing.T) {
	for _, c := range []struct {
		from, to int
		hz       float64
		level    float64 // of the result, relative to the input
	}{
		{8000, 16000, 1000, 1},
		{8000, 16000, 3000, 1},
		{16000, 8000, 1000, 1},
		{16000, 8000, 6000, 0},
		{8000, 48000, 1000, 1},
		{8000, 11025, 1000, 1},
	} {
		r := newResampler(c.from, c.to)
		in := sine(c.hz, c.from, c.from)
		var out []int16
		for rest, n := in, 1; len(rest) > 0; n = n%700 + 13 {
			n = min(n, len(rest))
			out = r.process(out, rest[:n])
			rest = rest[n:]
		}
		if len(out) != c.to {
			t.Errorf("%+v: %d samples of %d", c, len(out), c.to)
		}
		steady := out[c.to/10 : c.to*9/10]
		if got := rms(steady) / rms(in); math.Abs(got-c.level) > 0.01 {
			t.Errorf("%+v: the level is %.3f of that of the input", c, got)
		}
		if c.level == 0 {
			continue
		}
		worst := 0.0
		for i, v := range sine(c.hz, c.to, c.to)[c.to/10 : c.to*9/10] {
			worst = max(worst, math.Abs(float64(v)-float64(steady[min(i+int(r.delay()), len(steady)-1)])))
			if i+int(r.delay()) >= len(steady)-1 {
				break
			}
		}
		// The delay is a whole number of samples only where one rate divides the other.
		if c.to%c.from == 0 && worst > 200 {
			t.Errorf("%+v: differs by %.0f", c, worst)
		}
	}
}

// A packed segment keeps the places of its speech when its audio is converted.
func TestResampledSegment(t *testing.T) {
	seg := Segment{
		Rate:   8000,
		Span:   Span{8000, 96000},
		PCM:    make([]int16, 16800),
		Pieces: []Piece{{0, Span{8000, 16000}}, {8800, Span{88000, 96000}}},
		Voiced: []Span{{9000, 15000}, {89000, 95000}},
		Speech: 12000,
		Lost:   80,
	}
	up := seg.Resampled(16000, make([]int16, 33600))
	if up.Offset() != seg.Offset() || up.End() != seg.End() || up.Duration() != seg.Duration() ||
		up.SpeechDuration() != seg.SpeechDuration() || up.LostDuration() != seg.LostDuration() {
		up.PCM = nil
		t.Errorf("%+v", up)
	}
	for i, v := range seg.VoicedPCM() {
		if w := up.VoicedPCM()[i]; w.Start != 2*v.Start || w.End != 2*v.End {
			t.Errorf("the speech at %v is at %v", v, w)
		}
	}
	// A converter may return a sample more or less.
	for _, n := range []int{33598, 33602} {
		for _, p := range seg.Resampled(16000, make([]int16, n)).Pieces {
			if p.At+p.Span.Len() > int64(n) {
				t.Errorf("%v leaves the audio of %d samples", p, n)
			}
		}
	}
}
