package vad

import (
	"math"
	"math/rand/v2"
	"testing"
)

// The errors of tanh and sigmoid over all magnitudes of a float32. The step is odd, so that all mantissas are visited.
func TestTanh(t *testing.T) {
	worstTanh, worstSigmoid := 0.0, 0.0
	check := func(x float32) {
		for _, x := range []float32{x, -x} {
			got, want := float64(tanh(x)), math.Tanh(float64(x))
			worstTanh = max(worstTanh, math.Abs(got-want))
			if !(math.Abs(got) <= 1) || math.Signbit(got) != math.Signbit(float64(x)) {
				t.Fatalf("tanh(%v) = %v", x, got)
			}
			got, want = float64(sigmoid(x/2)), 1/(1+math.Exp(-float64(x)))
			worstSigmoid = max(worstSigmoid, math.Abs(got-want))
			if !(got >= 0 && got <= 1) {
				t.Fatalf("sigmoid(%v) = %v", x, got)
			}
		}
	}
	step := uint32(997)
	if testing.Short() {
		step = 99991
	}
	infinity := math.Float32bits(float32(math.Inf(1)))
	for bits := uint32(0); bits < infinity; bits += step {
		check(math.Float32frombits(bits))
	}
	for bits := math.Float32bits(tanhLimit) - 1000; bits < math.Float32bits(tanhLimit)+1000; bits++ {
		check(math.Float32frombits(bits))
	}
	check(float32(math.Inf(1)))
	check(math.MaxFloat32)
	t.Logf("errors of tanh %.3g, of sigmoid %.3g", worstTanh, worstSigmoid)
	if worstTanh > 3.5e-7 || worstSigmoid > 1.8e-7 {
		t.Errorf("errors of tanh %.3g, of sigmoid %.3g", worstTanh, worstSigmoid)
	}
	if x := float32(math.NaN()); tanh(x) == tanh(x) {
		t.Error("tanh of NaN is a number")
	}
}

// The kernels compute each length, with the same bits, and write nothing beyond the slice.
func TestTanhOfEveryProcessor(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	memory := newFence(t, 4*600)
	infinity := float32(math.Inf(1))
	special := []float32{0, float32(math.Copysign(0, -1)), tanhLimit, -tanhLimit, 1e-40, -1e-40, math.MaxFloat32, infinity, -infinity}
	for n := range 600 {
		values := normal(rng, n)
		if n >= len(special) {
			copy(values[rng.IntN(n-len(special)+1):], special)
		}
		want := append([]float32(nil), values...)
		tanhGo(want)
		for i := range available {
			got := fenced(memory, n%2 == 0, values)
			available[i].tanh(got)
			sameBits(t, available[i].name, got, want)
		}
	}
	nan := []float32{1, 2, 3, float32(math.NaN()), 5, 6, 7, 8}
	for i := range available {
		got := append([]float32(nil), nan...)
		available[i].tanh(got)
		if got[3] == got[3] {
			t.Errorf("%s: tanh of NaN is %v", available[i].name, got[3])
		}
	}
}

func BenchmarkTanh(b *testing.B) {
	from, values := make([]float32, 5*hidden), make([]float32, 5*hidden)
	for i := range from {
		from[i] = float32(i-320) / 50
	}
	b.Run("math", func(b *testing.B) {
		for b.Loop() {
			for i, x := range from {
				values[i] = float32(math.Tanh(float64(x)))
			}
		}
	})
	for i := range available {
		b.Run(available[i].name, func(b *testing.B) {
			for b.Loop() {
				copy(values, from)
				available[i].tanh(values)
			}
		})
	}
}
