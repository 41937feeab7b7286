package encode_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Zeros behind the frames are no speech of any length.
func TestZerosBehindAMRAreNoSpeech(t *testing.T) {
	b := []byte("#!AMR\n")
	for i := range 500 {
		b = append(append(b, 4), noise(12, uint64(i))...)
	}
	h := hearBytes(t, append(b, make([]byte, 100_000)...))
	if h.err != nil || h.account.Unheard() < time.Duration(float64(time.Second)*0.9*(h.seconds-10)) {
		t.Errorf("%.1f s, %v, %+v", h.seconds, h.err, h.account)
	}
}

// The pauses of a phone call in AMR are no damage. Known fault: ffmpeg has an error for each frame of a pause, so each call of a phone that
// does not send its pauses was inconclusive. Bytes that are no frames are damage still.
func TestPausesOfAMRAreNoDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 13))
	for name, c := range map[string]struct {
		magic        string
		speech, head int // bytes of a frame, and its head
		noise        int // type of the description of noise
	}{
		"AMR":    {"#!AMR\n", 12, 0x04, 8},
		"AMR-WB": {"#!AMR-WB\n", 17, 0x04, 9},
	} {
		for _, damaged := range []bool{false, true} {
			b := []byte(c.magic)
			for i := range 600 {
				switch {
				case i%200 < 120:
					b = append(b, byte(c.head))
					for range c.speech {
						b = append(b, byte(rng.Uint32()))
					}
				case damaged && i%200 == 150:
					b = append(b, noise(200, uint64(i))...)
				case i%8 == 0:
					b = append(b, byte(c.noise<<3|4), 1, 2, 3, 4, 5)
				default:
					b = append(b, 15<<3|4)
				}
			}
			if !damaged {
				b = append(b, byte(c.head)) // the end of a file that breaks off
			}
			h := hearBytes(t, b)
			if h.err != nil || h.seconds < 10 || damaged != (h.account.Unheard() > 100*time.Millisecond) {
				t.Errorf("%s, damaged %t: %.1f s, %v, %+v", name, damaged, h.seconds, h.err, h.account)
			}
		}
	}
}
