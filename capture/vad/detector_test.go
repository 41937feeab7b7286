package vad_test

import (
	"encoding/binary"
	"math"
	"testing"

	"callscreen/capture"
	"callscreen/capture/vad"
)

func TestNewRefusesWhatItCannotDo(t *testing.T) {
	for _, rate := range []int{0, 11025, 44100, 48000} {
		if _, err := vad.New(rate, nil); err == nil {
			t.Errorf("a detector for %d Hz", rate)
		}
	}
	for _, o := range []vad.Options{{Start: 1.5}, {Start: -1}, {Start: 0.4, Continue: 0.5}} {
		if _, err := vad.New(16000, &o); err == nil {
			t.Errorf("a detector with %+v", o)
		}
	}
}

// share returns the share of the frames of one class.
func share(t *testing.T, pcm []int16, rate int, sound capture.Sound) float64 {
	t.Helper()
	heard := hear(t, pcm, rate)
	n := 0
	for _, s := range heard {
		if s == sound {
			n++
		}
	}
	return float64(n) / float64(len(heard))
}

func TestFixtures(t *testing.T) {
	for _, rate := range []int{16000, 8000} {
		at := func(name string) []int16 {
			pcm := clip(t, name)
			if rate == 8000 && (name == "human" || name == "synthetic") {
				pcm = everyOther(pcm)
			}
			return pcm
		}
		// The synthetic voice carries a steady tone of 3,000 Hz, which must not hide it.
		for _, name := range []string{"human", "synthetic"} {
			if got := share(t, at(name), rate, capture.Speech); got < 0.75 {
				t.Errorf("%s at %d Hz: only %.0f %% is heard as speech", name, rate, 100*got)
			}
		}
		if rate == 8000 {
			for _, name := range []string{"ringback", "dtmf"} {
				if got := share(t, at(name), rate, capture.Tone); got < 0.2 {
					t.Errorf("%s: only %.0f %% is heard as a tone", name, 100*got)
				}
				if got := share(t, at(name), rate, capture.Speech); got > 0.01 {
					t.Errorf("%s: %.0f %% is heard as speech", name, 100*got)
				}
			}
			if got := share(t, at("silence"), rate, capture.Silence); got != 1 {
				t.Errorf("silence: %.2f is silent", got)
			}
		}
	}
}

func TestSteadySounds(t *testing.T) {
	dial := make([]int16, 20*16000)
	for i := range dial {
		dial[i] = int16(4000 * math.Sin(2*math.Pi*425*float64(i)/16000))
	}
	if got := share(t, dial, 16000, capture.Tone); got < 0.95 {
		t.Errorf("a dial tone is a tone in %.0f %% of its frames", 100*got)
	}
	// Line noise becomes background after a while, not a sound of its own.
	heard := hear(t, coloured(40*16000, 0.5), 16000)
	for i, s := range heard[len(heard)*3/4:] {
		if s != capture.Silence {
			t.Fatalf("steady noise is %v in frame %d of the last 10 s", s, i)
		}
	}
	if heard[100] != capture.Noise {
		t.Errorf("noise is %v after three seconds", heard[100])
	}
	constant := make([]int16, 5*16000)
	for i := range constant {
		constant[i] = 12000 // a DC offset is no sound
	}
	if got := share(t, constant, 16000, capture.Silence); got != 1 {
		t.Errorf("a constant is silence in %.0f %% of its frames", 100*got)
	}
}

// A word after a minute of silence is detected from its first frame: the gate must not cost the onset.
func TestTheGateDoesNotCostTheOnset(t *testing.T) {
	speech := scale(clip(t, "human"), 16000, -20)
	pcm := append(make([]int16, 60*16000), speech...)
	heard := hear(t, pcm, 16000)[60*16000/512:]
	ungated, d := []float32{}, newDetector(t, 16000)
	for rest := speech; len(rest) >= 512; rest = rest[512:] {
		ungated = append(ungated, d.Probability(rest[:512]))
	}
	first := func(is func(i int) bool) int {
		for i := range ungated {
			if is(i) {
				return i
			}
		}
		return -1
	}
	got, want := first(func(i int) bool { return heard[i] == capture.Speech }), first(func(i int) bool { return ungated[i] >= 0.5 })
	if want < 0 || got > want+1 {
		t.Errorf("speech is heard from frame %d on, the network alone hears it from %d on", got, want)
	}
}

func TestResetForgets(t *testing.T) {
	pcm := clip(t, "human")
	d := newDetector(t, 16000)
	run := func() (out []capture.Sound) {
		for rest := pcm; len(rest) >= 512; rest = rest[512:] {
			out = append(out, d.Classify(rest[:512]))
		}
		return out
	}
	a := run()
	d.Reset()
	b := run()
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("frame %d is %v, after a reset %v", i, a[i], b[i])
		}
	}
}

func TestClassifyDoesNotAllocate(t *testing.T) {
	pcm := clip(t, "human")
	d := newDetector(t, 16000)
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		d.Classify(pcm[i*512:][:512])
		i = (i + 1) % 400
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte{0xff, 0x7f, 0x00, 0x80}, true)
	f.Add([]byte{0, 0}, false)
	f.Add([]byte{1, 0, 0xff, 0xff, 0x34, 0x12}, true)
	f.Fuzz(func(t *testing.T, data []byte, wide bool) {
		if len(data) < 2 {
			return
		}
		rate := 8000
		if wide {
			rate = 16000
		}
		d := newDetector(t, rate)
		frame := make([]int16, d.FrameSize())
		for n := range 4 {
			for i := range frame {
				at := 2 * ((n*len(frame) + i) % (len(data) / 2))
				frame[i] = int16(binary.LittleEndian.Uint16(data[at:]))
			}
			if s := d.Classify(frame); s > capture.Noise {
				t.Fatalf("heard %v", s)
			}
			if p := d.Probability(frame); !(p >= 0 && p <= 1) {
				t.Fatalf("probability %v", p)
			}
		}
	})
}
