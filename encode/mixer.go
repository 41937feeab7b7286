package encode

import "math"

// Mixer mixes channels to one, so that neither channels of the same phase nor channels of opposite phase cancel each other
// out. Channels that are the same are returned as they are. From the first block in which they differ, odd channels are
// shifted by 90 degrees against even ones (two chains of all-pass filters, 20 Hz to half the rate less 20 Hz at 44,100 Hz).
//
// Channels that were made for it can still cancel. Lost counts such frames.
type Mixer struct {
	channels int
	differ   bool
	chains   [][2][4]allPass // of each channel
	late     []float64       // the last output of the first chain
	lost     int64
}

// allPass is a filter of second order whose gain is 1 at all frequencies.
type allPass struct{ x1, x2, y1, y2 float64 }

func (f *allPass) step(x, a float64) float64 {
	y := a*(x+f.y2) - f.x2
	f.x2, f.x1, f.y2, f.y1 = f.x1, x, f.y1, y
	return y
}

// NewMixer returns a mixer of interleaved samples.
func NewMixer(channels int) *Mixer {
	return &Mixer{channels: channels, chains: make([][2][4]allPass, channels), late: make([]float64, channels)}
}

// Lost returns the number of frames so far whose sound is missing in the mix.
func (m *Mixer) Lost() int64 { return m.lost }

// Mix appends the mix of whole frames to dst and returns it.
func (m *Mixer) Mix(dst, src []float32) []float32 {
	if m.channels == 1 {
		return append(dst, src...)
	}
	start := len(dst)
	if m.differ = m.differ || !m.same(src); !m.differ {
		for i := 0; i+m.channels <= len(src); i += m.channels {
			dst = append(dst, src[i])
		}
		return dst
	}
	coefficients := [2][4]float64{
		{0.6923878, 0.9360654322959, 0.9882295226860, 0.9987488452737},
		{0.4021921162426, 0.8561710882420, 0.9722909545651, 0.9952884791278},
	}
	even, odd := float64((m.channels+1)/2), float64(m.channels/2)
	scale := 1 / math.Sqrt(even*even+odd*odd)
	shifted := make([][]float64, m.channels)
	for i := 0; i+m.channels <= len(src); i += m.channels {
		sum := 0.0
		for ch, v := range src[i : i+m.channels] {
			x := float64(v)
			chain := &m.chains[ch][ch%2]
			for k := range chain {
				x = chain[k].step(x, coefficients[ch%2][k]*coefficients[ch%2][k])
			}
			if ch%2 == 0 {
				x, m.late[ch] = m.late[ch], x // the first chain is one sample behind
			}
			shifted[ch] = append(shifted[ch], x)
			sum += x
		}
		dst = append(dst, float32(sum*scale))
	}
	if cancel(shifted) {
		m.lost += int64(len(dst) - start)
	}
	return dst
}

// cancel reports whether the sum of the channels lacks one of them: two channels are opposite to each other, or the sum has
// far less power than its parts.
func cancel(channels [][]float64) bool {
	const silent, opposite, share = 1e-7, -0.7, 0.03
	power := make([]float64, len(channels))
	var total, mixed float64
	for i, x := range channels {
		for j, y := range channels[:i] {
			if c := product(x, y); c < opposite*math.Sqrt(product(x, x)*power[j]) && -c > silent*float64(len(x)) {
				return true
			}
		}
		power[i] = product(x, x)
		total += power[i]
	}
	for k := range channels[0] {
		sum := 0.0
		for _, x := range channels {
			sum += x[k]
		}
		mixed += sum * sum
	}
	return total > silent*float64(len(channels[0])) && mixed < share*total
}

func product(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// same reports whether all channels are the same.
func (m *Mixer) same(src []float32) bool {
	for i := 0; i+m.channels <= len(src); i += m.channels {
		for _, v := range src[i+1 : i+m.channels] {
			if v != src[i] {
				return false
			}
		}
	}
	return true
}
