//go:build libopus && cgo

package encode_test

import (
	"bytes"
	"math"
	"os/exec"
	"testing"

	"callscreen/encode"
)

// The copies that a sender puts into its packets replace lost ones much better than a guess does.
func TestFECRepairsLosses(t *testing.T) {
	out, err := exec.Command(
		"ffmpeg",
		"-v",
		"error",
		"-i",
		"../testdata/audio/human.wav",
		"-ar",
		"48000",
		"-c:a",
		"libopus",
		"-application",
		"voip",
		"-b:a",
		"24k",
		"-fec",
		"1",
		"-packet_loss",
		"20",
		"-f",
		"ogg",
		"-",
	).
		Output()
	if err != nil {
		t.Skipf("ffmpeg: %v", err)
	}
	ogg, err := encode.NewOggReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for {
		p, _, err := ogg.NextPacket()
		if err != nil {
			break
		}
		packets = append(packets, bytes.Clone(p))
	}
	type recoverer interface {
		Recover(dst []int16, samples int, next []byte) ([]int16, bool, error)
	}
	decode := func(lost func(i int) bool, fec bool) (pcm []int16, repaired int) {
		d, err := encode.NewRTPDecoder("audio/opus", -1)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range packets {
			if !lost(i) {
				if pcm, err = d.Decode(pcm, p); err != nil {
					t.Fatal(err)
				}
				continue
			}
			var next []byte
			if fec && i+1 < len(packets) {
				next = packets[i+1]
			}
			var used bool
			if pcm, used, err = d.(recoverer).Recover(pcm, 320, next); err != nil {
				t.Fatal(err)
			}
			if used {
				repaired++
			}
		}
		return pcm, repaired
	}
	whole, _ := decode(func(int) bool { return false }, false)
	every5th := func(i int) bool { return i%5 == 3 }
	guessed, _ := decode(every5th, false)
	repaired, n := decode(every5th, true)
	snr := func(pcm []int16) float64 {
		if len(pcm) != len(whole) {
			t.Fatalf("%d samples instead of %d", len(pcm), len(whole))
		}
		var signal, noise float64
		for i, w := range whole {
			signal += float64(w) * float64(w)
			noise += (float64(w) - float64(pcm[i])) * (float64(w) - float64(pcm[i]))
		}
		return 10 * math.Log10(signal/noise)
	}
	t.Logf("a fifth of %d packets lost: %.1f dB guessed, %.1f dB with %d repaired", len(packets), snr(guessed), snr(repaired), n)
	if n < len(packets)/10 || snr(repaired) < snr(guessed)+3 {
		t.Errorf("%.1f dB guessed, %.1f dB with %d of %d repaired", snr(guessed), snr(repaired), n, len(packets)/5)
	}
}
