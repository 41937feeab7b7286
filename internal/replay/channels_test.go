package replay_test

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"callscreen/analyzer/simulator"
	"callscreen/encode"
	"callscreen/internal/replay"
	"callscreen/policy"
)

// samplesOf returns a voice at 16,000 Hz.
func samplesOf(t *testing.T, name string, seconds int) []int16 {
	t.Helper()
	src, err := encode.Open(t.Context(), audio+name, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r, err := encode.NewResampler(src.Format().Rate, 16000)
	if err != nil {
		t.Fatal(err)
	}
	var x []float32
	block := make([]float32, 4096)
	for len(x) < seconds*16000 {
		n, err := src.Read(block)
		x = r.Process(x, block[:n])
		if err != nil {
			break
		}
	}
	pcm := make([]int16, min(len(x), seconds*16000))
	encode.ToInt16(pcm, x[:len(pcm)])
	return pcm
}

// writeChannels writes channels of the same length to a WAV file.
func writeChannels(t *testing.T, channels ...[]int16) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "call.wav")
	if err := os.WriteFile(path, wavOfChannels(channels), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wavOfChannels(channels [][]int16) []byte {
	n, frames := len(channels), len(channels[0])
	le := func(v, size int) (b []byte) {
		for range size {
			b, v = append(b, byte(v)), v>>8
		}
		return b
	}
	body := slices.Concat([]byte("WAVEfmt "), le(16, 4), le(1, 2), le(n, 2), le(16000, 4), le(32000*n, 4), le(2*n, 2), le(16, 2),
		[]byte("data"), le(2*n*frames, 4))
	for i := range frames {
		for _, c := range channels {
			body = append(body, le(int(c[i]), 2)...)
		}
	}
	return slices.Concat([]byte("RIFF"), le(len(body), 4), body)
}

func negated(pcm []int16) []int16 {
	out := make([]int16, len(pcm))
	for i, v := range pcm {
		out[i] = int16(max(-int(v), math.MinInt16))
	}
	return out
}

// A voice in a channel that is left out, or that a mix cancels, never passes without a word.
func TestChoiceOfChannelsHidesNoVoice(t *testing.T) {
	human, synthetic := samplesOf(t, "human.wav", 12), samplesOf(t, "synthetic.wav", 12)
	silent := make([]int16, len(human))
	anti := negated(synthetic)
	for name, c := range map[string]struct {
		choice   string
		channels [][]int16
		clear    bool
		reason   encode.Reason
	}{
		"other channel speaks":    {"0", [][]int16{human, synthetic}, false, encode.OtherChannel},
		"other channel is silent": {"0", [][]int16{human, silent}, true, ""},
		"both are the same":       {"1", [][]int16{human, human}, true, ""},
		"mix of opposite phase":   {"mix", [][]int16{synthetic, anti}, false, ""},
		"mix that cancels":        {"mix", [][]int16{synthetic, human, anti}, false, ""},
		"mix of all the same":     {"mix", [][]int16{human, human}, true, ""},
	} {
		choice, err := replay.ParseChannels(c.choice)
		if err != nil {
			t.Fatal(err)
		}
		b := newBench(t, simulator.Script{}, func(_ *replay.ScreenerConfig, r *replay.Replay) { r.Channels = choice })
		r, err := b.screen(b.call("call"), writeChannels(t, c.channels...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.Decision == "clear"; got != c.clear {
			t.Errorf("%s: the call is %s, %q, %q", name, r.Decision, r.Reasons, r.Warnings)
		}
		if c.reason == "" {
			continue
		}
		if _, ok := r.Legs[0].Ledger.Bytes.Unread[string(c.reason)]; !ok || !strings.Contains(strings.Join(r.Warnings, "\n"), "the others have") {
			t.Errorf("%s: %+v, %q", name, r.Legs[0].Ledger.Bytes, r.Warnings)
		}
	}
}

// Speech that changes from channel to channel is too little in each of them, and not too little in the call.
func TestSpeechThatHopsOverChannelsIsNotClear(t *testing.T) {
	human, synthetic := samplesOf(t, "human.wav", 14), samplesOf(t, "synthetic.wav", 14)
	channels := [][]int16{human}
	const turn = 12_000 // 0.75 s
	for i := 1; i*turn < len(synthetic); i++ {
		c := make([]int16, len(human))
		copy(c[(i-1)*turn:i*turn], synthetic[(i-1)*turn:i*turn])
		channels = append(channels, c)
	}
	b := newBench(t, simulator.Script{}, nil)
	r, err := b.screen(replay.NewCall(replay.CallConfig{ID: "hop", Policy: policy.Default()}), writeChannels(t, channels...))
	if err != nil || r.Decision == "clear" {
		t.Errorf("the call is %s, %q, %v", r.Decision, r.Reasons, err)
	}
}
