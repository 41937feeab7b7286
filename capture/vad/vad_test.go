package vad_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"testing"

	"callscreen/capture"
	"callscreen/capture/vad"
)

// clip is the audio of one of the mono 16 kHz fixtures.
func clip(t testing.TB, name string) []int16 {
	t.Helper()
	data, err := os.ReadFile("../../testdata/audio/" + name + ".wav")
	if err != nil {
		t.Fatal(err)
	}
	return samples(data[44:])
}

func samples(data []byte) []int16 {
	pcm := make([]int16, len(data)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(data[2*i:]))
	}
	return pcm
}

func everyOther(pcm []int16) []int16 {
	out := make([]int16, 0, len(pcm)/2)
	for i := 0; i < len(pcm); i += 2 {
		out = append(out, pcm[i])
	}
	return out
}

func newDetector(t testing.TB, rate int) *vad.Detector {
	t.Helper()
	d, err := vad.New(rate, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// The probabilities are those of ONNX Runtime, see testdata/reference.js.
func TestProbabilitiesEqualTheReference(t *testing.T) {
	for _, name := range []string{"human", "synthetic"} {
		for _, rate := range []int{16000, 8000} {
			t.Run(fmt.Sprintf("%s/%d", name, rate), func(t *testing.T) {
				want, err := os.ReadFile(fmt.Sprintf("testdata/%s.%d.f32", name, rate))
				if err != nil {
					t.Fatal(err)
				}
				pcm := clip(t, name)
				if rate == 8000 {
					pcm = everyOther(pcm)
				}
				d := newDetector(t, rate)
				n, worst := 0, 0.0
				for ; len(pcm) >= d.FrameSize(); pcm = pcm[d.FrameSize():] {
					p := d.Probability(pcm[:d.FrameSize()])
					w := math.Float32frombits(binary.LittleEndian.Uint32(want[4*n:]))
					worst = max(worst, math.Abs(float64(p)-float64(w)))
					n++
				}
				if 4*n != len(want) || n < 700 {
					t.Fatalf("%d frames, the reference has %d", n, len(want)/4)
				}
				if !(worst < 1e-4) {
					t.Errorf("off by %v", worst)
				}
				t.Logf("%d frames, off by at most %.2g", n, worst)
			})
		}
	}
}

func BenchmarkClassify(b *testing.B) {
	for _, rate := range []int{16000, 8000} {
		pcm := clip(b, "human")
		if rate == 8000 {
			pcm = everyOther(pcm)
		}
		for name, run := range map[string]func(*vad.Detector, []int16){
			"network":  func(d *vad.Detector, f []int16) { d.Probability(f) },
			"detector": func(d *vad.Detector, f []int16) { d.Classify(f) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, rate), func(b *testing.B) {
				d := newDetector(b, rate)
				frames := len(pcm) / d.FrameSize()
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					run(d, pcm[i%frames*d.FrameSize():][:d.FrameSize()])
					i++
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(i)/32*60, "ms/min")
			})
		}
	}
	b.Run("silence/16000", func(b *testing.B) {
		d := newDetector(b, 16000)
		frame := make([]int16, d.FrameSize())
		i := 0
		for b.Loop() {
			if d.Classify(frame) != capture.Silence {
				b.Fatal("silence is not silent")
			}
			i++
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(i)/32*60, "ms/min")
	})
}

// Speech with a DC offset is speech. The network takes it for a tone.
func TestSpeechWithAnOffsetIsHeard(t *testing.T) {
	b, err := os.ReadFile("../../testdata/audio/synthetic.wav")
	if err != nil {
		t.Fatal(err)
	}
	pcm := samples(b[44:])
	heard := func(gain, offset float64) int {
		d, err := vad.New(16000, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, frame := 0, make([]int16, d.FrameSize())
		for at := 0; at+len(frame) <= len(pcm); at += len(frame) {
			for i := range frame {
				frame[i] = int16(max(min(gain*float64(pcm[at+i])+offset*32767, 32767), -32768))
			}
			if d.Classify(frame) == capture.Speech {
				n++
			}
		}
		return n
	}
	whole := heard(0.25, 0)
	for _, offset := range []float64{-0.7, -0.4, -0.1, 0.03, 0.2, 0.4, 0.6} {
		if n := heard(0.25, offset); n < whole*9/10 {
			t.Errorf("offset %v: %d frames of speech, %d without", offset, n, whole)
		}
	}
}
