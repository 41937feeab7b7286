package vad

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"testing"
)

// recording returns the frames of a mono 16 kHz fixture. At 8 kHz they are every other sample.
func recording(t testing.TB, m *model) (frames [][]int16) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/audio/human.wav")
	if err != nil {
		t.Fatal(err)
	}
	step := 16000 / m.sampleRate()
	for data = data[44:]; len(data) >= 2*step*m.frame; data = data[2*step*m.frame:] {
		frame := make([]int16, m.frame)
		for i := range frame {
			frame[i] = int16(binary.LittleEndian.Uint16(data[2*step*i:]))
		}
		frames = append(frames, frame)
	}
	return frames
}

// probability is Detector.Probability with any kernels.
func (n *network) probability(frame []int16) float32 {
	n.load(frame)
	n.analyze()
	return n.infer()
}

// The probabilities have the same bits with all kernels and on all machines. The hashes hold until the network changes. They were
// equal on amd64 and, under emulation, on arm64.
func TestEveryMachineHearsTheSame(t *testing.T) {
	for i, want := range []uint64{0x9bd9cea92e76ae69, 0xe0e25ec179a94fbf} {
		m := models()[i]
		frames := recording(t, m)
		for k := range available {
			n, hash := newNetwork(m, &available[k]), fnv.New64a()
			for _, frame := range frames {
				_ = binary.Write(hash, binary.LittleEndian, math.Float32bits(n.probability(frame)))
			}
			if got := hash.Sum64(); got != want {
				t.Errorf("%s at %d Hz: %#x, want %#x", available[k].name, m.sampleRate(), got, want)
			}
		}
	}
}

// The cost of the network, without the gate, for each kind of processor.
func BenchmarkNetwork(b *testing.B) {
	for _, m := range models() {
		frames := recording(b, m)
		for k := range available {
			b.Run(fmt.Sprintf("%d/%s", m.sampleRate(), available[k].name), func(b *testing.B) {
				n, i := newNetwork(m, &available[k]), 0
				for b.Loop() {
					n.probability(frames[i%len(frames)])
					i++
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(i)/32*60, "ms/min")
			})
		}
	}
}
