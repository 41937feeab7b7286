package publish

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"

	"callscreen/encode"
)

// stereo writes a WAV file of two channels, each of a tone.
func stereo(t *testing.T, left, right float64) string {
	t.Helper()
	const rate = 16000
	pcm := make([]int16, 2*rate)
	for i := range pcm {
		pcm[i] = int16(8000 * math.Sin(2*math.Pi*[]float64{left, right}[i%2]*float64(i/2)/rate))
	}
	// The header of a mono file of the same size, with two channels.
	var b bytes.Buffer
	file := filepath.Join(t.TempDir(), "mono.wav")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := encode.WriteWAV(f, rate, pcm); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(raw)
	wav := b.Bytes()
	wav[22], wav[32] = 2, 4 // channels, block align
	copy(wav[28:], []byte{0x00, 0xfa, 0x00, 0x00})
	if err := os.WriteFile(file, wav, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// Each channel is a leg, and holds its own tone. Two channels of the same audio are one leg.
func TestChannelsBecomeLegs(t *testing.T) {
	legs, mono, err := LoadLegs(t.Context(), stereo(t, 500, 2000), "pcmu", []string{"caller", "agent"})
	if err != nil || mono || len(legs) != 2 || legs[0].Name != "caller" || legs[1].Name != "agent" {
		t.Fatalf("%d legs, mono %v: %v", len(legs), mono, err)
	}
	for i, leg := range legs {
		single, err := Load(t.Context(), stereo(t, []float64{500, 2000}[i], 100), "pcmu", 0)
		if err != nil {
			t.Fatal(err)
		}
		for n, p := range leg.Media.Packets {
			if !bytes.Equal(p.Payload, single.Packets[n].Payload) {
				t.Fatalf("leg %s: packet %d is not of its channel", leg.Name, n)
			}
		}
	}
	legs, mono, err = LoadLegs(t.Context(), stereo(t, 500, 500), "pcmu", []string{"caller", "agent"})
	if err != nil || !mono || len(legs) != 1 || legs[0].Name != "caller" {
		t.Errorf("%d legs, mono %v: %v", len(legs), mono, err)
	}
	legs, mono, err = LoadLegs(t.Context(), stereo(t, 500, 501), "pcmu", []string{"caller"})
	if err != nil || mono || len(legs) != 2 || legs[1].Name != "leg2" {
		t.Errorf("%d legs, mono %v: %v", len(legs), mono, err)
	}
}

func TestEndpointOfALeg(t *testing.T) {
	mono := &Media{Codec: capability("pcmu")}
	two := &Media{Codec: capability("opus"), Packets: []Packet{{Payload: []byte{0xfc}}}}
	for _, c := range []struct {
		to   string
		leg  Leg
		want string
	}{
		{"http://h/whip/c/caller?queue=q", Leg{"", mono}, "http://h/whip/c/caller?queue=q"},
		{"http://h/whip/c/caller?queue=q", Leg{"agent", mono}, "http://h/whip/c/agent?queue=q"},
		{"http://h/whip/c", Leg{"agent", mono}, "http://h/whip/c/agent"},
		{"http://h/cs/whip/c/", Leg{"agent 2", mono}, "http://h/cs/whip/c/agent%202"},
		{"http://h/whip/c%2F1/x", Leg{"agent", mono}, "http://h/whip/c%2F1/agent"},
		{"http://h/whip/c/both?channels=caller,agent", Leg{"", two}, "http://h/whip/c/both?channels=caller,agent"},
		{"http://h/whip/c/both?channels=caller,agent", Leg{"", mono}, ""},
	} {
		got, err := forLeg(c.to, c.leg)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s with %q: %q, %v", c.to, c.leg.Name, got, err)
		}
	}
}
