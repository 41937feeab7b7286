package vad

import (
	"math"
	"math/rand/v2"
	"testing"
)

// sameBits compares the output of kernels with that of the plain Go version.
func sameBits(t *testing.T, name string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", name, i, got[i], want[i])
		}
	}
}

// about compares an output with the exact sum of products, of a size.
func about(t *testing.T, name string, got float32, sum, size float64) {
	t.Helper()
	if math.Abs(sum-float64(got)) > 1e-5*size {
		t.Fatalf("%s: %v, want about %v", name, got, sum)
	}
}

func normal(rng *rand.Rand, n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(12)-6)))
	}
	return out
}

// The assembly returns the same bits as the plain Go version, so that a call is cut at the same places on every machine. It
// reads nothing before or after its slices.
func TestEveryProcessorComesToTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var fences [5]fence
	for i := range fences {
		fences[i] = newFence(t, 4*2*block*400)
	}
	for round := range 600 {
		cols := 1 + rng.IntN(400)
		l := newLayer(2*block, cols, normal(rng, 2*block), func(int, int) float32 { return float32(rng.NormFloat64()) })
		vector := normal(rng, cols)
		in := newInput(cols)
		in.rectify(vector, cols)
		if round%100 == 0 {
			in.n = 0
		}
		end := round%2 == 0
		l.weights, l.bias = fenced(fences[0], end, l.weights), fenced(fences[1], end, l.bias)
		index, value := fenced(fences[2], end, in.index[:in.n]), fenced(fences[3], end, in.value[:in.n])
		want := make([]float32, l.rows)
		l.apply(&plain, want, 0, index, value)
		for i := range available {
			got := fenced(fences[4], end, make([]float32, l.rows))
			l.apply(&available[i], got, 0, index, value)
			sameBits(t, available[i].name, got, want)
		}
		for row, got := range want {
			sum, size := float64(l.bias[row]), math.Abs(float64(l.bias[row]))
			for i, at := range index {
				product := float64(value[i]) * float64(l.weights[row/block*block*cols+int(at)+row%block])
				sum, size = sum+product, size+math.Abs(product)
			}
			about(t, "plain", got, sum, size)
		}
	}
}

// A frame of the input that is not the first of the kernel's is the same as one that is.
func TestShiftedColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const channels = 37
	l := newLayer(block, 3*channels, normal(rng, block), func(int, int) float32 { return float32(rng.NormFloat64()) })
	frames := normal(rng, 4*channels)
	in, alone := newInput(len(frames)), newInput(len(frames))
	in.rectify(frames, channels)
	for i := range available {
		for first := range 2 {
			alone.rectify(frames[first*channels:][:3*channels], channels)
			got, want := make([]float32, block), make([]float32, block)
			l.apply(&plain, want, 0, alone.index[:alone.n], alone.value)
			from, to := in.start[first], in.start[first+3]
			l.apply(&available[i], got, -first*channels, in.index[from:to], in.value[from:to])
			sameBits(t, available[i].name, got, want)
		}
	}
}

// The layer of the spectra is a convolution with one frame of zeros before and after the four windows.
func TestSpectralLayer(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const rows = 3 * group
	var fences [4]fence
	for i := range fences {
		fences[i] = newFence(t, 4*3*rows*130)
	}
	for round := range 300 {
		bins, end := 1+rng.IntN(130), round%2 == 0
		w := normal(rng, rows*bins*3)
		l := newSpectralLayer(rows, bins, fenced(fences[0], end, normal(rng, rows)), func(row, bin, tap int) float32 {
			return w[(row*bins+bin)*3+tap]
		})
		l.weights = fenced(fences[1], end, l.weights)
		spectra := fenced(fences[2], end, normal(rng, 4*bins))
		want := make([]float32, 4*rows)
		l.apply(&plain, want, spectra)
		for i := range available {
			got := fenced(fences[3], end, make([]float32, 4*rows))
			l.apply(&available[i], got, spectra)
			sameBits(t, available[i].name, got, want)
		}
		for i, got := range want {
			window, row := i/rows, i%rows
			sum, size := float64(l.bias[row]), math.Abs(float64(l.bias[row]))
			for tap := max(0, 1-window); tap < min(3, 5-window); tap++ {
				for bin := range bins {
					product := float64(spectra[4*bin+window+tap-1]) * float64(w[(row*bins+bin)*3+tap])
					sum, size = sum+product, size+math.Abs(product)
				}
			}
			about(t, "plain", got, sum, size)
		}
	}
}

func TestRectify(t *testing.T) {
	in := newInput(8)
	in.rectify([]float32{1, -1, 0, 2, -3, float32(math.SmallestNonzeroFloat32), float32(math.Inf(1)), -0.5}, 4)
	want := []int32{0, 3 * block, 5 * block, 6 * block}
	if in.n != len(want) || in.start != [5]int{0, 2, 4} {
		t.Fatalf("%d elements, frames start at %v", in.n, in.start)
	}
	for i, index := range want {
		if in.index[i] != index || !(in.value[i] > 0) {
			t.Errorf("element %d is %v in column %d", i, in.value[i], in.index[i]/block)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	m := models()[0]
	vector, spectra := make([]float32, m.lstm.cols), make([]float32, 4*m.bins)
	for i := range vector {
		vector[i] = float32(i%7) + 1
	}
	for i := range spectra {
		spectra[i] = float32(i % 7)
	}
	in := newInput(len(vector))
	in.rectify(vector, len(vector))
	out := make([]float32, m.lstm.rows)
	for i := range available {
		k := &available[i]
		b.Run("lstm/"+k.name, func(b *testing.B) {
			for b.Loop() {
				m.lstm.apply(k, out, 0, in.index, in.value)
			}
		})
		b.Run("spectra/"+k.name, func(b *testing.B) {
			for b.Loop() {
				m.spectral.apply(k, out, spectra)
			}
		})
	}
}
