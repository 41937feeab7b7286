package encode_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"callscreen/encode"
)

// resample runs all of src through a new Resampler.
func resample(t testing.TB, from, to int, src []float32) []float32 {
	t.Helper()
	r, err := encode.NewResampler(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r.Flush(r.Process(nil, src))
}

// tone returns n samples of a sine of amplitude 1/2.
func tone(rate int, hz float64, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(rate)))
	}
	return x
}

// level returns the RMS of x in dB relative to a sine of amplitude 1/2. It leaves out both ends, where the filter sees
// silence.
func level(x []float32) float64 {
	x = x[len(x)/8 : len(x)*7/8]
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(x))/0.125+1e-20)
}

// residue subtracts the best-fitting sine of the given frequency from x and returns the level of the rest in dB.
func residue(x []float32, rate int, hz float64) float64 {
	x = x[len(x)/8 : len(x)*7/8]
	var ss, cc, sc, xs, xc float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		ss += s * s
		cc += c * c
		sc += s * c
		xs += float64(v) * s
		xc += float64(v) * c
	}
	det := ss*cc - sc*sc
	a, b := (xs*cc-xc*sc)/det, (xc*ss-xs*sc)/det
	var sum float64
	for i, v := range x {
		s, c := math.Sincos(2 * math.Pi * hz * float64(i) / float64(rate))
		d := float64(v) - a*s - b*c
		sum += d * d
	}
	return 10 * math.Log10(sum/float64(len(x))/0.125+1e-20)
}

var ratios = [][2]int{
	{48000, 16000}, {44100, 16000}, {32000, 16000}, {24000, 16000}, {8000, 16000}, {11025, 16000}, {22050, 16000},
	{47999, 16000}, {96000, 16000}, {192000, 16000}, {16000, 8000}, {48000, 8000}, {16000, 48000}, {191999, 8000},
}

func TestResamplerPassband(t *testing.T) {
	for _, r := range ratios {
		from, to := r[0], r[1]
		nyquist := float64(min(from, to)) / 2
		for _, part := range []float64{0.01, 0.1, 0.3, 0.5, 0.7, 0.8, 0.875} {
			hz := math.Round(part * nyquist)
			y := resample(t, from, to, tone(from, hz, from/2))
			gain, rest := level(y), residue(y, to, hz)
			most := 0.1
			if part > 0.85 {
				most = 0.45
			}
			if math.Abs(gain) > most {
				t.Errorf("%d to %d: gain at %.0f Hz is %.2f dB", from, to, hz, gain)
			}
			// For a rise of the rate this is the images, for others the error of the table.
			if rest > -80 {
				t.Errorf("%d to %d: a tone of %.0f Hz leaves %.1f dB beside itself", from, to, hz, rest)
			}
		}
	}
}

func TestResamplerAliases(t *testing.T) {
	if testing.Short() {
		t.Skip("much arithmetic, and no goroutine")
	}
	worst := 0.0
	for _, r := range ratios {
		from, to := r[0], r[1]
		if from <= to {
			continue
		}
		nyquist, limit := float64(to)/2, float64(from)/2
		for part := 1.1; part*nyquist < limit && part < 6; part += 0.0613 {
			if db := level(resample(t, from, to, tone(from, part*nyquist, from/4))); db > -80 {
				t.Errorf("%d to %d: a tone of %.0f Hz is only %.1f dB down", from, to, part*nyquist, db)
			}
		}
		if db := level(resample(t, from, to, tone(from, 1.045*nyquist, from/4))); from > to*11/10 {
			worst = min(worst, db)
		}
	}
	if worst > -15 {
		t.Errorf("in the middle of the transition %.1f dB", worst)
	}
}

func TestResamplerPositionsAreTrue(t *testing.T) {
	// The zero crossings of a slow tone say where a sample stands.
	for _, r := range ratios {
		from, to := r[0], r[1]
		const hz = 200
		x := tone(from, hz, from)
		y := resample(t, from, to, x)
		if want := (len(x)*to + from - 1) / from; len(y) != want {
			t.Errorf("%d to %d: %d samples, want %d", from, to, len(y), want)
		}
		for i := to / 10; i < to*9/10; i += 37 {
			want := 0.5 * math.Sin(2*math.Pi*hz*float64(i)/float64(to))
			if d := math.Abs(float64(y[i]) - want); d > 1e-4 {
				t.Fatalf("%d to %d: sample %d is off by %.6f", from, to, i, d)
			}
		}
	}
}

func TestResamplerTotals(t *testing.T) {
	for _, r := range ratios {
		from, to := r[0], r[1]
		for _, n := range []int{0, 1, 2, 3, 5, 100, 441, 4095, 4096, 4097, 48001} {
			if got, want := len(resample(t, from, to, make([]float32, n))), (n*to+from-1)/from; got != want {
				t.Errorf("%d to %d: %d samples give %d, want %d", from, to, n, got, want)
			}
		}
	}
}

func TestResamplerAnyBlockSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, ratio := range ratios {
		x := make([]float32, 30_000)
		for i := range x {
			x[i] = rng.Float32() - 0.5
		}
		want := resample(t, ratio[0], ratio[1], x)
		r, err := encode.NewResampler(ratio[0], ratio[1])
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // Flush starts a new stream
			var got []float32
			for rest := x; len(rest) > 0; {
				n := min(1+rng.IntN(700), len(rest))
				got = r.Process(got, rest[:n])
				rest = rest[n:]
			}
			got = r.Flush(got)
			if len(got) != len(want) {
				t.Fatalf("%v: %d samples, want %d", ratio, len(got), len(want))
			}
			for i := range got {
				if math.Abs(float64(got[i]-want[i])) > 1e-6 {
					t.Fatalf("%v: sample %d is %v in small blocks, %v in one", ratio, i, got[i], want[i])
				}
			}
		}
	}
}

func TestResamplerPassThrough(t *testing.T) {
	x := tone(16000, 440, 1000)
	if got := resample(t, 16000, 16000, x); !equal32(got, x) {
		t.Error("equal rates change samples")
	}
}

func TestResamplerRefuses(t *testing.T) {
	for _, r := range [][2]int{{0, 16000}, {16000, 0}, {-8000, 16000}, {999, 16000}, {192001, 16000}, {16000, 1 << 40}} {
		if _, err := encode.NewResampler(r[0], r[1]); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
}

func TestResamplerDoesNotAllocate(t *testing.T) {
	for _, rates := range ratios[:9] {
		r, err := encode.NewResampler(rates[0], rates[1])
		if err != nil {
			t.Fatal(err)
		}
		x, y := make([]float32, rates[0]/50), make([]float32, 0, 2*rates[1]/50+10)
		r.Process(y, x)
		r.Process(y, x)
		if n := testing.AllocsPerRun(200, func() { r.Process(y, x) }); n != 0 {
			t.Errorf("%v: %v allocations a block", rates, n)
		}
	}
}

func BenchmarkResample(b *testing.B) {
	for _, r := range [][2]int{{48000, 16000}, {44100, 16000}, {8000, 16000}, {47999, 16000}} {
		b.Run(fmt.Sprintf("%d-%d", r[0], r[1]), func(b *testing.B) {
			rs, err := encode.NewResampler(r[0], r[1])
			if err != nil {
				b.Fatal(err)
			}
			x, y := tone(r[0], 440, r[0]/50), make([]float32, 0, 2*r[1]/50)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				y = rs.Process(y[:0], x)
			}
			msPerMinute(b, 0.02)
		})
	}
}

// msPerMinute reports the milliseconds that a minute of audio takes, where an operation is so many seconds of it.
func msPerMinute(b *testing.B, seconds float64) {
	b.ReportMetric(b.Elapsed().Seconds()*1000/(float64(b.N)*seconds/60), "ms/min")
}
