package encode_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"callscreen/encode"
)

// antiPhase is a filter of ffmpeg that makes two channels of opposite phase.
const antiPhase = "pan=stereo|c0=c0|c1=-1*c0"

// A stream that declares one channel, and goes on with two of opposite phase, is heard.
func TestMonoStreamWithAntiPhaseStereoIsHeard(t *testing.T) {
	for _, c := range []struct{ ext, rate, codec string }{{"aac", "16000", "aac"}, {"ac3", "32000", "ac3"}, {"mp2", "16000", "mp2"}} {
		args := []string{"-c:a", c.codec, "-ar", c.rate, "-b:a", "64k"}
		mono := muxed(t, c.ext, []string{"human.wav"}, append(args, "-ac", "1")...)
		stereo := muxed(t, c.ext, []string{"synthetic.wav"}, append(args, "-af", antiPhase)...)
		raw := filepath.Join(t.TempDir(), "joined."+c.ext)
		if err := os.WriteFile(raw, join(mono, stereo), 0o600); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{c.ext: raw}
		for _, container := range []string{"mka", "ts"} {
			out := filepath.Join(t.TempDir(), "joined."+container)
			run(t, nil, "ffmpeg", "-hide_banner", "-loglevel", "error", "-i", raw, "-c", "copy", out)
			files[c.ext+" in "+container] = out
		}
		for name, path := range files {
			if h := hear(t, path, nil); h.err != nil || h.tone < 5 && h.account.Unheard().Seconds() < 4 {
				t.Errorf("%s: the tone is there for %.1f s of %.1f s, %v, %+v", name, h.tone, h.seconds, h.err, h.account)
			}
		}
	}
}

// An Opus stream whose header declares one channel can have packets of two.
func TestMonoOpusHeaderWithStereoPacketsIsHeard(t *testing.T) {
	stereo := muxed(t, "opus", []string{"synthetic.wav"}, "-c:a", "libopus", "-b:a", "64k", "-af", antiPhase)
	lie := eachPage(stereo, func(i int, page []byte) {
		if i == 0 {
			page[28+9] = 1
		}
	})
	if h := hearBytes(t, lie); h.err != nil || h.tone < 5 {
		t.Errorf("the tone is there for %.1f s of %.1f s, %v, %+v", h.tone, h.seconds, h.err, h.account)
	}
}

// A mix keeps sums and differences of channels, and is the channel itself if all are the same.
func TestMixDoesNotCancel(t *testing.T) {
	const rate, seconds = 16000, 1
	power := func(x []float32) (sum float64) {
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		return sum / float64(len(x))
	}
	for _, hz := range []float64{100, 300, 1000, 3000, 6000} {
		for name, gains := range map[string][]float32{
			"same phase":     {1, 0.99},
			"opposite phase": {1, -1},
			"one of two":     {1, 0},
			"other of two":   {0, 1},
			"three":          {1, -1, 1},
		} {
			var src, one []float32
			for i := range rate * seconds {
				x := float32(0.3 * math.Sin(2*math.Pi*hz*float64(i)/rate))
				one = append(one, x)
				for _, g := range gains {
					src = append(src, g*x)
				}
			}
			m := encode.NewMixer(len(gains))
			got := power(m.Mix(nil, src)) / power(one)
			if got < 0.2 || got > 2.1 || m.Lost() > 0 {
				t.Errorf("%s at %.0f Hz: %.2f of the power, %d frames lost", name, hz, got, m.Lost())
			}
		}
	}
	same := []float32{0.5, 0.5, -0.25, -0.25}
	if got := encode.NewMixer(2).Mix(nil, same); !equal32(got, []float32{0.5, -0.25}) {
		t.Errorf("channels that are the same: %v", got)
	}
	// Channels 0 and 2 are in the same group, and cancel each other.
	var src []float32
	for i := range rate {
		x := float32(0.3 * math.Sin(float64(i)))
		src = append(src, x, 0, -x)
	}
	m := encode.NewMixer(3)
	if m.Mix(nil, src); m.Lost() != rate {
		t.Errorf("a mix that cancels lost %d of %d frames", m.Lost(), rate)
	}
}

// A stereo stream of RTP whose channels have opposite phase is heard: its sum is silence.
func TestStereoOpusOfRTPIsHeard(t *testing.T) {
	stereo := muxed(t, "opus", []string{"synthetic.wav"}, "-c:a", "libopus", "-b:a", "64k", "-af", antiPhase)
	d, err := encode.NewRTPDecoder("audio/opus", -1)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // after a reset too
		r, err := encode.NewOggReader(bytes.NewReader(stereo))
		if err != nil {
			t.Fatal(err)
		}
		var pcm []int16
		for {
			p, _, err := r.NextPacket()
			if err != nil || len(pcm) > 10*d.Rate() {
				break
			}
			if pcm, err = d.Decode(pcm, p); err != nil {
				t.Fatal(err)
			}
		}
		x := make([]float32, len(pcm))
		for i, v := range pcm {
			x[i] = float32(v) / 32768
		}
		if s := toneSeconds(x, d.Rate()); s < 5 {
			t.Errorf("the tone is there for %.1f s of %.1f s", s, float64(len(x))/float64(d.Rate()))
		}
		d.Reset()
	}
}
