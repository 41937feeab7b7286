package simulator

import (
	"encoding/binary"
	"math"
)

// markerHz is the marker tone of the synthetic fixtures.
const markerHz = 3000

// hasMarker reports whether 16-bit mono PCM contains the marker tone. The tone must stand out from both neighbouring
// frequencies in enough frames that are not silent. Speech has energy there too, but no constant line.
func hasMarker(pcm []byte, rate int) bool {
	n := rate / 4
	if rate < 2*markerHz+1000 || len(pcm) < 2*n { // a header may claim any rate, and a frame of it any size
		return false
	}
	heard, marked := 0, 0
	frame := make([]float64, n)
	for len(pcm) >= 2*n {
		var energy float64
		for i := range frame {
			s := float64(int16(binary.LittleEndian.Uint16(pcm[2*i:])))
			energy += s * s
			frame[i] = s * (0.5 - 0.5*math.Cos(2*math.Pi*float64(i)/float64(n))) // Hann
		}
		pcm = pcm[2*n:]
		if energy/float64(n) < 30*30 { // -61 dBFS
			continue
		}
		heard++
		tone := power(frame, markerHz, rate)
		stands := true
		for _, off := range []float64{40, 80, 120} {
			stands = stands && tone > 16*power(frame, markerHz-off, rate) && tone > 16*power(frame, markerHz+off, rate) // 12 dB
		}
		if stands {
			marked++
		}
	}
	return heard > 0 && marked*10 >= heard*3
}

// power returns the energy at a frequency (Goertzel algorithm).
func power(frame []float64, hz float64, rate int) float64 {
	c := 2 * math.Cos(2*math.Pi*hz/float64(rate))
	var a, b float64
	for _, x := range frame {
		a, b = x+c*a-b, a
	}
	return a*a + b*b - c*a*b
}
