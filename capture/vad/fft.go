package vad

import "math"

// fft transforms the four windows of a frame side by side. The samples of a window are taken in pairs, as the real and the
// imaginary part of half as many complex numbers, whose transform is then separated. An element of the work area is such a
// number of each window: four real parts, then four imaginary parts.
type fft struct {
	window  int
	hann    []float32 // halved, since separating the transform doubles it
	place   []int     // of each pair of samples in the work area: in the order of reversed bits
	twiddle []float32 // cosines and sines of the stages from the third on
	split   []float32 // those of the bins
}

func newFFT(window int) *fft {
	pairs := window / 2
	f := &fft{window: window, hann: make([]float32, window), place: make([]int, pairs)}
	for i := range f.hann {
		f.hann[i] = float32(0.25 - 0.25*math.Cos(2*math.Pi*float64(i)/float64(window)))
	}
	for half := 4; half < pairs; half *= 2 {
		f.twiddle = appendRotations(f.twiddle, half, half)
	}
	f.split = appendRotations(nil, pairs/2+1, pairs)
	for i, j := 1, 0; i < pairs; i++ {
		bit := pairs / 2
		for ; j&bit != 0; bit /= 2 {
			j ^= bit
		}
		j ^= bit
		f.place[i] = 8 * j
	}
	return f
}

// appendRotations appends the first n of the rotations that make half a turn in as many steps as given.
func appendRotations(to []float32, n, steps int) []float32 {
	for k := range n {
		s, c := math.Sincos(-math.Pi * float64(k) / float64(steps))
		to = append(to, float32(c), float32(s))
	}
	return to
}

// magnitudes writes the magnitudes of bins 0..window/2 of four Hann-windowed stretches of the samples, half a window apart. Those
// of a bin are next to each other. work has four times as many elements as a window.
func (f *fft) magnitudes(k *kernels, out, samples, work []float32) {
	n, hop := f.window, f.window/2
	x0, x1, x2, x3 := samples[:n], samples[hop:][:n], samples[2*hop:][:n], samples[3*hop:][:n]
	hann := f.hann[:n]
	for i, at := range f.place {
		e := work[at:][:8]
		re, im := 2*i, 2*i+1
		h := hann[re]
		e[0], e[1], e[2], e[3] = x0[re]*h, x1[re]*h, x2[re]*h, x3[re]*h
		h = hann[im]
		e[4], e[5], e[6], e[7] = x0[im]*h, x1[im]*h, x2[im]*h, x3[im]*h
	}
	k.transform(work[:4*n], f.twiddle)
	k.separate(out[:4*(hop+1)], work[:4*n], f.split)
}

// transformGo transforms a work area whose elements are in the order of reversed bits. It has at least four elements, a power
// of two.
func transformGo(work, twiddle []float32) {
	firstStages(work)
	for half := 4; 8*half < len(work); half *= 2 {
		for start := 0; start < len(work); start += 16 * half {
			butterflies(work[start:][:8*half], work[start+8*half:][:8*half], twiddle)
		}
		twiddle = twiddle[2*half:]
	}
}

// firstStages are the first two, which need no multiplication.
func firstStages(work []float32) {
	for ; len(work) >= 32; work = work[32:] {
		a, b, c, d := work[:8], work[8:16], work[16:24], work[24:32]
		for re := range 4 {
			im := re + 4
			sumRe, sumIm, difRe, difIm := a[re]+b[re], a[im]+b[im], a[re]-b[re], a[im]-b[im]
			sum2Re, sum2Im, dif2Re, dif2Im := c[re]+d[re], c[im]+d[im], c[re]-d[re], c[im]-d[im]
			a[re], a[im] = sumRe+sum2Re, sumIm+sum2Im
			b[re], b[im] = difRe+dif2Im, difIm-dif2Re
			c[re], c[im] = sumRe-sum2Re, sumIm-sum2Im
			d[re], d[im] = difRe-dif2Im, difIm+dif2Re
		}
	}
}

// butterflies joins two transforms to one of twice the length.
func butterflies(a, b, twiddle []float32) {
	for ; len(a) >= 8 && len(b) >= 8; a, b, twiddle = a[8:], b[8:], twiddle[2:] {
		c, s := twiddle[0], twiddle[1]
		for re := range 4 {
			im := re + 4
			turnedRe := float32(b[re]*c) - float32(b[im]*s)
			turnedIm := float32(b[re]*s) + float32(b[im]*c)
			b[re], b[im] = a[re]-turnedRe, a[im]-turnedIm
			a[re], a[im] = a[re]+turnedRe, a[im]+turnedIm
		}
	}
}

// separateGo writes the magnitudes of the transform of real samples, given that of their pairs. The even samples belong to the
// symmetric part of bins k and n-k, the odd samples to the rest.
func separateGo(out, work, split []float32) {
	n := len(work) / 8
	for k := 0; k <= n/2; k++ {
		z, y := work[8*k:][:8], work[(n-k)%n*8:][:8]
		low, high := out[4*k:][:4], out[4*(n-k):][:4]
		c, s := split[2*k], split[2*k+1]
		for re := range 4 {
			im := re + 4
			evenRe, evenIm := z[re]+y[re], z[im]-y[im]
			oddRe, oddIm := z[im]+y[im], y[re]-z[re]
			turnedRe := float32(oddRe*c) - float32(oddIm*s)
			turnedIm := float32(oddRe*s) + float32(oddIm*c)
			low[re] = magnitude(evenRe+turnedRe, evenIm+turnedIm)
			high[re] = magnitude(evenRe-turnedRe, evenIm-turnedIm)
		}
	}
}

func magnitude(re, im float32) float32 {
	return float32(math.Sqrt(float64(float32(re*re) + float32(im*im))))
}
