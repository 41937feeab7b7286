package vad

import "math"

// fft transforms two real windows at once, one as the real and one as the imaginary part.
type fft struct {
	n       int
	hann    []float32
	twiddle []complex64 // by stage
	reverse []int
}

func newFFT(n int) *fft {
	f := &fft{n: n, hann: make([]float32, n), reverse: make([]int, n)}
	for i := range f.hann {
		f.hann[i] = float32(0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n)))
	}
	for half := 1; half < n; half *= 2 {
		for k := range half {
			s, c := math.Sincos(-math.Pi * float64(k) / float64(half))
			f.twiddle = append(f.twiddle, complex(float32(c), float32(s)))
		}
	}
	for i, j := 1, 0; i < n; i++ {
		bit := n / 2
		for ; j&bit != 0; bit /= 2 {
			j ^= bit
		}
		j ^= bit
		f.reverse[i] = j
	}
	return f
}

// magnitudes writes the magnitudes of bins 0..n/2 of two Hann-windowed blocks of real samples. Those of a bin are the first
// two of four elements of out. work has n elements.
func (f *fft) magnitudes(out, x1, x2 []float32, work []complex64) {
	n := f.n
	x1, x2, work = x1[:n], x2[:n], work[:n]
	for i, h := range f.hann {
		work[f.reverse[i]] = complex(x1[i]*h, x2[i]*h)
	}
	twiddle := f.twiddle
	for half := 1; half < n; half *= 2 {
		w := twiddle[:half]
		twiddle = twiddle[half:]
		for start := 0; start < n; start += 2 * half {
			a, b := work[start:][:half], work[start+half:][:half]
			for k, t := range w {
				re := real(b[k])*real(t) - imag(b[k])*imag(t)
				im := real(b[k])*imag(t) + imag(b[k])*real(t)
				u := a[k]
				a[k] = complex(real(u)+re, imag(u)+im)
				b[k] = complex(real(u)-re, imag(u)-im)
			}
		}
	}
	for k := 0; k <= n/2; k++ {
		a, b := work[k], work[(n-k)%n]
		// The even part of the spectrum belongs to the real window, the odd part to the other.
		r1, i1 := (real(a)+real(b))/2, (imag(a)-imag(b))/2
		r2, i2 := (imag(a)+imag(b))/2, (real(b)-real(a))/2
		out[4*k] = float32(math.Sqrt(float64(r1*r1 + i1*i1)))
		out[4*k+1] = float32(math.Sqrt(float64(r2*r2 + i2*i2)))
	}
}
