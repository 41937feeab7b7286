package vad

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The assembly returns the same bits as the plain Go version, so that a call is cut at the same places on every machine.
func TestEveryProcessorComesToTheSameBits(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		cols := 1 + rng.IntN(400)
		bias := make([]float32, 16)
		l := newLayer(16, cols, bias, func(int, int) float32 { return float32(rng.NormFloat64()) })
		for i := range bias {
			bias[i] = float32(rng.NormFloat64())
		}
		vector := make([]float32, cols)
		for i := range vector {
			if rng.IntN(2) == 0 {
				vector[i] = float32(rng.NormFloat64() * math.Pow(10, float64(rng.IntN(12)-6)))
			}
		}
		var in input
		in.add(0, vector)
		got, want := make([]float32, 16), make([]float32, 16)
		l.apply(got, &in)
		sixteenGo(want, l.weights, l.bias, in.index, in.value)
		for row := range want {
			if math.Float32bits(got[row]) != math.Float32bits(want[row]) {
				t.Fatalf("%d columns, row %d: %v, want %v", cols, row, got[row], want[row])
			}
			sum, size := float64(bias[row]), math.Abs(float64(bias[row]))
			for col, x := range vector {
				product := float64(x) * float64(l.weights[(row/8*cols+col)*8+row%8])
				sum, size = sum+product, size+math.Abs(product)
			}
			if math.Abs(sum-float64(want[row])) > 1e-5*size {
				t.Fatalf("%d columns, row %d: %v, want about %v", cols, row, want[row], sum)
			}
		}
	}
}

func BenchmarkApply(b *testing.B) {
	l := models()[0].lstm
	var in input
	vector := make([]float32, l.cols)
	for i := range vector {
		vector[i] = float32(i%7) - 3
	}
	in.add(0, vector)
	out := make([]float32, l.rows)
	b.Run("go", func(b *testing.B) {
		for b.Loop() {
			for row := 0; row < l.rows; row += 16 {
				sixteenGo(out[row:][:16], l.weights[row*l.cols:][:16*l.cols], l.bias[row:][:16], in.index, in.value)
			}
		}
	})
	b.Run("this processor", func(b *testing.B) {
		for b.Loop() {
			l.apply(out, &in)
		}
	})
}
