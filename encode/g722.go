package encode

// G722Decoder decodes G.722 at 64 kbit/s (ITU-T G.722, 09/2012, mode 1): one byte is two samples of 16,000 Hz. Its RTP
// clock nevertheless runs at 8,000 Hz (RFC 3551, 4.5.2). It keeps state between calls, so each stream needs its own. It is
// not safe for concurrent use. Decoding cannot fail, because the code has no invalid bytes.
type G722Decoder struct {
	low, high subband
	line      qmfLine
}

// NewG722Decoder returns a decoder in the reset state of section 4 of the Recommendation.
func NewG722Decoder() *G722Decoder {
	d := new(G722Decoder)
	d.low.reset(32)
	d.high.reset(8)
	return d
}

// Decode appends the two samples of each byte of src to dst and returns it. It does not allocate if dst has room.
func (d *G722Decoder) Decode(dst []int16, src []byte) []int16 {
	for _, code := range src {
		low6, low4, high2 := code&0x3f, code>>2&0x0f, code>>6
		// The output uses all 6 bits of the lower sub-band, the predictor only the upper 4, so that a decoder that was
		// given fewer bits stays in step.
		rlow := clamp(d.low.s+d.low.det*g722Low6[low6]>>15, -16384, 16383)
		d.low.adaptLow(low4)
		rhigh := clamp(d.high.s+d.high.det*g722High2[high2]>>15, -16384, 16383)
		d.high.adaptHigh(high2)
		a, b := d.line.push(rlow+rhigh, rlow-rhigh)
		dst = append(dst, int16(clamp(b>>11, -32768, 32767)), int16(clamp(a>>11, -32768, 32767)))
	}
	return dst
}

// G722Encoder encodes 16,000 Hz to G.722 at 64 kbit/s. It keeps state between calls, so each stream needs its own. It is
// not safe for concurrent use.
type G722Encoder struct {
	low, high subband
	line      qmfLine
	odd       int32
	half      bool // odd holds the first sample of a pair
}

// NewG722Encoder returns an encoder in the reset state of section 3 of the Recommendation.
func NewG722Encoder() *G722Encoder {
	e := new(G722Encoder)
	e.low.reset(32)
	e.high.reset(8)
	return e
}

// Encode appends one byte for every two samples to dst and returns it. An odd last sample is kept for the next call.
func (e *G722Encoder) Encode(dst []byte, src []int16) []byte {
	for _, x := range src {
		if !e.half {
			e.odd, e.half = int32(x), true
			continue
		}
		e.half = false
		a, b := e.line.push(e.odd, int32(x))
		low := e.quantizeLow((a + b) >> 14)
		high := e.quantizeHigh((b - a) >> 14)
		dst = append(dst, high<<6|low)
	}
	return dst
}

func (e *G722Encoder) quantizeLow(x int32) byte {
	diff := saturate16(x - e.low.s)
	size := diff
	if diff < 0 {
		size = -(diff + 1)
	}
	i := 1
	for i < 30 && size >= g722Decision[i]*e.low.det>>12 {
		i++
	}
	// The codes of both signs descend as the level rises; the largest two negative levels have codes of their own.
	var code byte
	switch {
	case diff >= 0:
		code = byte(62 - i)
	case i <= 2:
		code = byte(64 - i)
	default:
		code = byte(34 - i)
	}
	e.low.adaptLow(code >> 2)
	return code
}

func (e *G722Encoder) quantizeHigh(x int32) byte {
	diff := saturate16(x - e.high.s)
	size := diff
	if diff < 0 {
		size = -(diff + 1)
	}
	far := size >= 564*e.high.det>>12
	var code byte
	switch {
	case diff < 0 && !far:
		code = 1
	case diff >= 0 && far:
		code = 2
	case diff >= 0:
		code = 3
	}
	e.high.adaptHigh(code)
	return code
}

// qmfLine is the delay line of the 24-tap quadrature mirror filter, the same for analysis and synthesis. Each of the two
// phases keeps its history twice, so that it is always one run of 12.
type qmfLine struct {
	even, odd [24]int32
	at        int
}

// push takes a pair of samples and returns the output of the two phases.
func (q *qmfLine) push(a, b int32) (even, odd int32) {
	q.even[q.at], q.even[q.at+12] = a, a
	q.odd[q.at], q.odd[q.at+12] = b, b
	q.at++
	if q.at == 12 {
		q.at = 0
	}
	x, y := q.even[q.at:q.at+12:q.at+12], q.odd[q.at:q.at+12:q.at+12]
	for i, c := range g722QMF {
		even += x[i] * c
		odd += y[i] * g722QMF[11-i]
	}
	return even, odd
}

// subband is the adaptive differential decoder of one of the two halves of the spectrum: an inverse quantizer whose step
// adapts, and a predictor of two poles and six zeros. The names are those of the Recommendation.
type subband struct {
	det, nb int32    // step, its logarithm
	s, sz   int32    // prediction, the part of it that the zeros give
	r, p    [2]int32 // reconstructed signal and the part that the poles give, latest first
	a       [2]int32 // poles
	b       [6]int32 // zeros
	d       [6]int32 // quantized differences, latest first
}

func (s *subband) reset(det int32) { *s = subband{det: det} }

// adaptLow takes the upper four bits of a code of the lower sub-band.
func (s *subband) adaptLow(code byte) {
	d := s.det * g722Low4[code] >> 15
	s.nb = clamp(s.nb*127>>7+g722LowStep[code], 0, 18432)
	s.det = scale(s.nb, 8)
	s.predict(d)
}

// adaptHigh takes a code of the higher sub-band.
func (s *subband) adaptHigh(code byte) {
	d := s.det * g722High2[code] >> 15
	step := int32(-214)
	if code&1 == 0 { // the two outer levels
		step = 798
	}
	s.nb = clamp(s.nb*127>>7+step, 0, 22528)
	s.det = scale(s.nb, 10)
	s.predict(d)
}

// scale turns the logarithmic step into the linear one (blocks SCALEL and SCALEH).
func scale(nb, shift int32) int32 {
	v := g722Exp[nb>>6&31]
	if shift -= nb >> 11; shift < 0 {
		return v << -shift << 2
	}
	return v >> shift << 2
}

// predict adapts the predictor to the quantized difference d and makes the next prediction (block 4).
func (s *subband) predict(d int32) {
	r := saturate16(s.s + d)
	p := saturate16(s.sz + d)

	same0, same1 := sign(p) == sign(s.p[0]), sign(p) == sign(s.p[1])
	t := saturate16(s.a[0] << 2)
	if same0 {
		t = -t
	}
	t = min(t, 32767) >> 7
	if same1 {
		t += 128
	} else {
		t -= 128
	}
	a2 := clamp(t+s.a[1]*32512>>15, -12288, 12288)
	t = -192
	if same0 {
		t = 192
	}
	limit := saturate16(15360 - a2)
	a1 := clamp(saturate16(t+s.a[0]*32640>>15), -limit, limit)
	s.a = [2]int32{a1, a2}

	step := int32(128)
	if d == 0 {
		step = 0
	}
	s.sz = 0
	last := d
	for i := range s.b {
		t := step
		if sign(s.d[i]) != sign(d) {
			t = -step
		}
		s.b[i] = saturate16(t + s.b[i]*32640>>15)
		// The zeros look at the new difference and the five before it.
		last, s.d[i] = s.d[i], last
		s.sz += s.b[i] * saturate16(2*s.d[i]) >> 15
	}
	s.sz = saturate16(s.sz)
	s.r = [2]int32{r, s.r[0]}
	s.p = [2]int32{p, s.p[0]}
	poles := saturate16(a1*saturate16(2*s.r[0])>>15 + a2*saturate16(2*s.r[1])>>15)
	s.s = saturate16(poles + s.sz)
}

func sign(x int32) int32 { return x >> 31 }

func saturate16(x int32) int32 { return clamp(x, -32768, 32767) }

func clamp(x, low, high int32) int32 { return min(max(x, low), high) }
