package encode

import (
	"fmt"
	"math"
)

// Resampler changes the rate of one channel with a windowed-sinc filter (Kaiser window) in polyphase form. It keeps state
// between calls, so each channel needs its own. It is not safe for concurrent use.
//
// Output sample i is at the time i/to exactly: the delay of the filter is compensated. A stream of n inputs makes
// ceil(n*to/from) outputs, so that positions in a recording stay true.
//
// Let N be half the lower of the two rates. The response is flat within 0.1 dB up to 0.85 N and within 0.5 dB up to
// 0.875 N (7 kHz at 16 kHz), and at least 80 dB down from 1.1 N on (8.8 kHz). Frequencies between N and 1.1 N are
// attenuated by 15 to 80 dB and aliased to 0.9 N to N (7.2 to 8 kHz), where speech has little energy.
type Resampler struct {
	from, to int
	ratio    polyphase
	hist     []float32 // input of the outputs to come; starts half a filter before the first of them
	base     int       // index in hist of the first tap of the next output
	phase    int       // position of the next output after an input sample, in units of 1/up
	in, out  int64     // samples of the stream so far
}

// NewResampler returns a Resampler from one rate to another (Hz, 1,000 to 192,000). Equal rates pass samples through
// bit for bit. The filter's table takes at most 4 MB, for the worst pair of rates; 512 bytes for 48,000 to 16,000.
func NewResampler(from, to int) (*Resampler, error) {
	for _, rate := range []int{from, to} {
		if rate < minReadRate || rate > maxRate {
			return nil, fmt.Errorf("resample: rate is %d Hz, must be %d to %d", rate, minReadRate, maxRate)
		}
	}
	r := &Resampler{from: from, to: to}
	if from != to {
		r.ratio = newPolyphase(from, to)
		r.reset()
	}
	return r, nil
}

// reset starts a new stream, with silence before the first sample.
func (r *Resampler) reset() {
	r.hist = append(r.hist[:0], make([]float32, r.ratio.taps/2-1)...)
	r.base, r.phase, r.in, r.out = 0, 0, 0, 0
}

// Process appends the outputs that src completes to dst and returns it. It holds back about 2 ms, which [Resampler.Flush]
// returns. It retains neither slice. It does not allocate in the long run if dst has room.
func (r *Resampler) Process(dst, src []float32) []float32 {
	if r.from == r.to {
		return append(dst, src...)
	}
	const block = 4096
	for len(src) > 0 {
		n := min(block, len(src))
		r.in += int64(n)
		r.hist = append(r.hist, src[:n]...)
		src = src[n:]
		dst = r.drain(dst, math.MaxInt64)
	}
	return dst
}

// Flush appends the rest of the stream to dst and returns it. The next Process starts a new stream.
func (r *Resampler) Flush(dst []float32) []float32 {
	if r.from == r.to {
		return dst
	}
	total := (r.in*int64(r.to) + int64(r.from) - 1) / int64(r.from)
	for r.out < total {
		// Silence follows the last sample.
		r.hist = append(r.hist, make([]float32, r.ratio.taps)...)
		dst = r.drain(dst, total)
	}
	r.reset()
	return dst
}

// drain computes outputs while there is input for them, up to a total of limit, and discards the consumed input.
func (r *Resampler) drain(dst []float32, limit int64) []float32 {
	p := &r.ratio
	for r.base+p.taps <= len(r.hist) && r.out < limit {
		x := r.hist[r.base : r.base+p.taps]
		switch {
		case p.up == 1:
			dst = append(dst, dotSymmetric(p.half, x))
		case p.rows == p.up:
			dst = append(dst, dot(p.row(r.phase), x))
		default:
			// Between the two nearest of the tabulated phases.
			at := float64(r.phase) * float64(p.rows) / float64(p.up)
			i := int(at)
			w := float32(at - float64(i))
			lo, hi := dot(p.row(i), x), dot(p.row(i+1), x)
			dst = append(dst, lo+w*(hi-lo))
		}
		r.out++
		r.base += p.step
		if r.phase += p.rest; r.phase >= p.up {
			r.phase -= p.up
			r.base++
		}
	}
	// A step may be longer than the filter, so that base may lie behind what is there.
	if used := min(r.base, len(r.hist)); used > 0 {
		r.hist = r.hist[:copy(r.hist, r.hist[used:])]
		r.base -= used
	}
	return dst
}

// polyphase is the filter of a ratio up/down in lowest terms, split into the phases at which outputs fall between inputs.
type polyphase struct {
	up, down   int
	step, rest int // down/up and its remainder: how far an output is behind the one before
	taps       int // of a phase
	rows       int // phases in the table: up, or maxPhases and interpolation between them
	table      []float32
	half       []float32 // for up = 1, where the filter is symmetric: its middle, halved, and what follows
}

const (
	// maxPhases bounds the table for ratios that have no small terms, such as 47,999 to 16,000. Linear interpolation
	// between so many phases errs by -105 dB at most.
	maxPhases = 640

	// The design: half length in zero crossings of the sinc, shape of the window, and cutoff (-6 dB) relative to half the
	// lower rate. They put 80 dB at 1.1 and 0.41 dB at 0.875.
	halfCrossings = 56.0 / 3 // 112 taps for 48,000 to 16,000
	kaiserBeta    = 8.2
	cutoff        = 0.955
)

func newPolyphase(from, to int) polyphase {
	g := gcd(from, to)
	p := polyphase{up: to / g, down: from / g}
	p.step, p.rest = p.down/p.up, p.down%p.up
	p.rows = min(p.up, maxPhases)
	scale := math.Min(1, float64(to)/float64(from)) // of the sinc: the lower rate against the input's
	reach := halfCrossings / scale                  // half length in input samples
	unit := 8                                       // what dot takes at a time
	if p.up == 1 {
		unit = 16 // dotSymmetric does with half as many coefficients
	}
	p.taps = (2*int(math.Ceil(reach)) + unit - 1) / unit * unit

	phases := p.rows
	if p.rows < p.up {
		phases++ // interpolation looks at the phase behind the last one
	}
	p.table = make([]float32, phases*p.taps)
	row := make([]float64, p.taps)
	norm := 1 / bessel0(kaiserBeta)
	for i := range phases {
		// Tap k meets the input sample that lies t after the output.
		sum := 0.0
		for k := range row {
			t := float64(k-(p.taps/2-1)) - float64(i)/float64(p.rows)
			row[k] = 0
			if w := t / reach; w > -1 && w < 1 {
				row[k] = sinc(t*scale*cutoff) * bessel0(kaiserBeta*math.Sqrt(1-w*w)) * norm
			}
			sum += row[k]
		}
		// Every phase passes a constant unchanged, or the phases would modulate it.
		for k, v := range row {
			p.table[i*p.taps+k] = float32(v / sum)
		}
	}
	if p.up == 1 {
		p.half = append([]float32{p.table[p.taps/2-1] / 2}, p.table[p.taps/2:p.taps-1]...)
	}
	return p
}

func (p *polyphase) row(i int) []float32 { return p.table[i*p.taps : (i+1)*p.taps] }

// dot is the inner product of two slices of equal length, a multiple of 8. Eight sums that do not wait for each other
// keep the processor's adders busy, and the array pointers leave one bounds check for eight products.
func dot(h, x []float32) float32 {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	x = x[:len(h)]
	for k := 0; k+8 <= len(h); k += 8 {
		p, q := (*[8]float32)(h[k:k+8]), (*[8]float32)(x[k:k+8])
		s0 += p[0] * q[0]
		s1 += p[1] * q[1]
		s2 += p[2] * q[2]
		s3 += p[3] * q[3]
		s4 += p[4] * q[4]
		s5 += p[5] * q[5]
		s6 += p[6] * q[6]
		s7 += p[7] * q[7]
	}
	return ((s0 + s4) + (s1 + s5)) + ((s2 + s6) + (s3 + s7))
}

// dotSymmetric is the inner product of x with a symmetric filter whose middle meets x[len(half)-1]. half is the middle,
// halved, and what follows it; its length is a multiple of 8, that of x is twice as much. Adding the two samples that
// share a coefficient first saves a third of the work.
func dotSymmetric(half, x []float32) float32 {
	n := len(half)
	lo, hi := x[:n], x[n-1:2*n-1]
	var s0, s1, s2, s3 float32
	for k := 0; k+8 <= n; k += 8 {
		p, q, r := (*[8]float32)(half[k:k+8]), (*[8]float32)(hi[k:k+8]), (*[8]float32)(lo[n-8-k:n-k])
		s0 += p[0] * (q[0] + r[7])
		s1 += p[1] * (q[1] + r[6])
		s2 += p[2] * (q[2] + r[5])
		s3 += p[3] * (q[3] + r[4])
		s0 += p[4] * (q[4] + r[3])
		s1 += p[5] * (q[5] + r[2])
		s2 += p[6] * (q[6] + r[1])
		s3 += p[7] * (q[7] + r[0])
	}
	return (s0 + s2) + (s1 + s3)
}

func sinc(x float64) float64 {
	if math.Abs(x) < 1e-9 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel0 is the modified Bessel function of the first kind and order 0, by its power series.
func bessel0(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > sum*1e-17; k++ {
		term *= x / (2 * k) * x / (2 * k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
