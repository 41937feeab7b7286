package vad

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// The magnitudes are those of the definition of the Fourier transform.
func TestMagnitudes(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	for _, window := range []int{16, 128, 256} {
		samples := make([]float32, window/2*5)
		for i := range samples {
			samples[i] = float32(rng.Float64()*2 - 1)
		}
		f := newFFT(window)
		for i := range available {
			out := make([]float32, 4*(window/2+1))
			f.magnitudes(&available[i], out, samples, make([]float32, 4*window))
			for at, got := range out {
				bin, first := at/4, at%4*window/2
				re, im := 0.0, 0.0
				for j := range window {
					hann := 0.5 - 0.5*math.Cos(2*math.Pi*float64(j)/float64(window))
					s, c := math.Sincos(-2 * math.Pi * float64(bin*j%window) / float64(window))
					re += float64(samples[first+j]) * hann * c
					im += float64(samples[first+j]) * hann * s
				}
				if want := math.Hypot(re, im); math.Abs(float64(got)-want) > 1e-5 {
					t.Fatalf("%s, window of %d: bin %d is %v, want %v", available[i].name, window, bin, got, want)
				}
			}
		}
	}
}

// The kernels return the same bits, and read and write nothing beyond their slices.
func TestTransformOfEveryProcessor(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	var fences [3]fence
	for i := range fences {
		fences[i] = newFence(t, 4*8*256)
	}
	for window := 8; window <= 512; window *= 2 {
		f := newFFT(window)
		for round := range 40 {
			end := round%2 == 0
			twiddle, split := fenced(fences[1], end, f.twiddle), fenced(fences[1], end, f.split)
			work := normal(rng, 4*window)
			transformed, magnitudes := slices.Clone(work), make([]float32, 2*window+4)
			transformGo(transformed, f.twiddle)
			separateGo(magnitudes, transformed, f.split)
			for i := range available {
				copy(twiddle, f.twiddle)
				got := fenced(fences[0], end, work)
				available[i].transform(got, twiddle)
				sameBits(t, available[i].name, got, transformed)
				copy(split, f.split)
				out := fenced(fences[2], end, make([]float32, len(magnitudes)))
				available[i].separate(out, got, split)
				sameBits(t, available[i].name, out, magnitudes)
			}
		}
	}
}

func BenchmarkMagnitudes(b *testing.B) {
	n := newNetwork(models()[0], fastest)
	for i := range n.samples {
		n.samples[i] = float32(i%17) / 17
	}
	for i := range available {
		b.Run(available[i].name, func(b *testing.B) {
			for b.Loop() {
				n.fft.magnitudes(&available[i], n.spectra, n.samples, n.work)
			}
		})
	}
}
