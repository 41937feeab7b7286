package encode_test

import (
	"math"
	"testing"

	"callscreen/encode"
)

// speech is the human clip, scaled, with direct current.
func speech(t testing.TB, scale, dc float64) []int16 {
	t.Helper()
	_, x, err := readWAV(t, load(t, "human.wav"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range x {
		x[i] = float32(float64(x[i])*scale + dc)
	}
	return to16(t, x)
}

func rmsDB(pcm []int16) float64 {
	var sum float64
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return 10 * math.Log10(sum/float64(len(pcm))/(32768*32768)+1e-12)
}

func TestCleanLevel(t *testing.T) {
	for _, c := range []struct{ scale, dc float64 }{{1, 0}, {0.05, 0}, {0.05, 0.3}, {2, 0}} {
		in := speech(t, c.scale, c.dc)
		keep := append([]int16(nil), in...)
		out := encode.Clean(in, 16000)
		if !equal16(in, keep) {
			t.Fatal("the original was changed")
		}
		if len(out) != len(in) {
			t.Fatalf("%d samples of %d", len(out), len(in))
		}
		var sum float64
		for _, v := range out {
			sum += float64(v)
			if abs(int(v)) > 29205 { // -1 dBFS
				t.Fatalf("scale %v: peak of %d", c.scale, v)
			}
		}
		if mean := sum / float64(len(out)); math.Abs(mean) > 5 {
			t.Errorf("scale %v, direct current %v: %.1f of it is left", c.scale, c.dc, mean)
		}
		// The clip has pauses, so that all of it is a little below the speech in it.
		if db := rmsDB(out); db < -24 || db > -19.5 {
			t.Errorf("scale %v: %.1f dBFS", c.scale, db)
		}
	}
}

func TestCleanAmplifiesByThirtyDecibelsAtMost(t *testing.T) {
	in := to16(t, tone(16000, 1000, 16000))
	for i := range in {
		in[i] = int16(int(in[i]) * 4 / 16384)
	}
	out := encode.Clean(in, 16000)
	if db := rmsDB(out) - rmsDB(in); db < 28.5 || db > 30.1 {
		t.Errorf("amplified by %.1f dB", db)
	}
}

func TestCleanKeepsSilenceAndShortClips(t *testing.T) {
	for n := range 5 {
		for _, v := range encode.Clean(make([]int16, n*100), 16000) {
			if v != 0 {
				t.Fatal("silence has become sound")
			}
		}
		if got := encode.Clean(make([]int16, n), 16000); len(got) != n {
			t.Fatalf("%d samples of %d", len(got), n)
		}
	}
}

func TestCleanTakesOutRumble(t *testing.T) {
	x, rumble := tone(16000, 1000, 32000), tone(16000, 10, 32000)
	for i := range x {
		x[i] = x[i]/4 + rumble[i]
	}
	y := make([]float32, len(x))
	encode.ToFloat32(y, encode.Clean(to16(t, x), 16000))
	if db := residue(y, 16000, 1000) - level(y); db > -12 {
		t.Errorf("rumble is at %.1f dB against the tone, was at 12", db)
	}
}
