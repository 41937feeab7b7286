package publish_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pion/rtp"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/publish"
	"callscreen/internal/whip/whiptest"
)

// tone writes a WAV file with a tone from 1 s to 3 s, and silence around it.
func tone(t *testing.T, hz float64, amplitude float64) string {
	t.Helper()
	pcm := make([]int16, 4*16000)
	for i := 16000; i < 48000; i++ {
		pcm[i] = int16(amplitude * math.Sin(2*math.Pi*hz*float64(i)/16000))
	}
	file := filepath.Join(t.TempDir(), "tone.wav")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := encode.WriteWAV(f, 16000, pcm); err != nil {
		t.Fatal(err)
	}
	return file
}

// record sends media through RTP packets into a leg.
func record(t *testing.T, m *publish.Media) ([]int16, int) {
	t.Helper()
	d, err := encode.NewRTPDecoder(m.Codec.MimeType, -1)
	if err != nil {
		t.Fatal(err)
	}
	out := &whiptest.Tape{}
	l, err := capture.NewLeg(
		capture.LegConfig{Rate: d.Rate(), PayloadTypes: map[uint8]capture.PayloadType{96: {ClockRate: m.Codec.ClockRate, Decoder: d}}},
		out,
	)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(0, 0)
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: 65000, Timestamp: 1<<32 - 5000}}
	for _, media := range m.Packets {
		p.Payload = media.Payload
		b, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		l.Push(b, now)
		p.SequenceNumber++
		p.Timestamp += media.Ticks
		now = now.Add(time.Duration(media.Ticks) * time.Second / time.Duration(m.Codec.ClockRate))
	}
	l.Flush()
	if s := l.Stats(); s.Undecoded+s.Missing+s.Restarts > 0 {
		t.Fatalf("%+v", s)
	}
	return out.PCM, d.Rate()
}

// amplitude returns the amplitude at a frequency (Goertzel algorithm).
func amplitude(pcm []int16, hz float64, rate int) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var a, b float64
	for _, x := range pcm {
		a, b = float64(x)+c*a-b, a
	}
	return 2 * math.Sqrt(max(0, a*a+b*b-c*a*b)) / float64(len(pcm))
}

// Tone in, tone out: through every codec a tone keeps its frequency, its level and its time.
func TestToneInToneOut(t *testing.T) {
	for _, codec := range publish.Codecs {
		t.Run(codec, func(t *testing.T) {
			if codec == "opus" {
				needFFmpeg(t)
			}
			for _, hz := range []float64{440, 1000, 2500} {
				m, err := publish.Load(t.Context(), tone(t, hz, 8000), codec, -1)
				if err != nil {
					t.Fatal(err)
				}
				pcm, rate := record(t, m)
				if got := float64(len(pcm)) / float64(rate); math.Abs(got-4) > 0.03 {
					t.Errorf("%v Hz: %v s instead of 4", hz, got)
				}
				middle := pcm[rate*3/2 : rate*5/2]
				best, level := 0.0, 0.0
				for f := 100.0; f < float64(rate)/2; f += 10 {
					if a := amplitude(middle, f, rate); a > level {
						best, level = f, a
					}
				}
				if math.Abs(best-hz) > 10 || math.Abs(20*math.Log10(level/8000)) > 1.5 {
					t.Errorf("%v Hz at 8000 comes out as %v Hz at %.0f", hz, best, level)
				}
				// The tone keeps its time: half its level at its start and its end.
				for at, want := range map[int]bool{rate * 9 / 10: false, rate * 11 / 10: true, rate * 29 / 10: true, rate * 31 / 10: false} {
					if got := amplitude(pcm[at-rate/40:at+rate/40], hz, rate) > 4000; got != want {
						t.Errorf("%v Hz: heard %v at %v s", hz, got, float64(at)/float64(rate))
					}
				}
			}
		})
	}
}
