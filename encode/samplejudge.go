package encode

import (
	"encoding/binary"
	"math"
	"strings"
)

// sampleJudge recognises bytes that are not samples of the declared format, although any bytes can be decoded as PCM:
// compressed audio, or samples of another width. They sound like noise, and hide what they hold.
//
// The least significant bytes of real samples are spread evenly, and the most significant ones are not: their distributions
// differ, in speech, in music and in noise up to the clipping level. In bytes of another format both are the same. In 8-bit
// formats, whose bytes are all significant, compressed bytes are spread evenly, and the bytes of 16-bit samples alternate
// between the two distributions.
type sampleJudge struct {
	low, high [256]int    // in 8-bit formats: of the frames with an even and an odd number
	phases    [6][256]int // the most significant bytes, by the number of the frame
	frame     int
	samples   int
	bytes     int64
	odd       bool
	last      [2]float64
	sums      [3]float64 // of products of samples that are 0, 1 and 2 apart
	floats    floatJudge
	suspect   int64 // bytes of an earlier window that was bad and is not booked
	age       int   // windows since the last bad one
}

const (
	judgeSamples = 4096 // of a window, at least
	judgeSeconds = 0.2
	// judgeMemory is the number of windows within which a second bad one confirms the first.
	judgeMemory = 3
)

// width returns the bytes of a sample.
func (s *wavSpec) width() int {
	switch s.format.Codec {
	case "pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw":
		return 1
	}
	return s.align / s.format.Channels
}

// isFloat reports whether the samples are numbers with an exponent.
func (s *wavSpec) isFloat() bool { return strings.HasPrefix(s.format.Codec, "pcm_f") }

// floatJudge counts numbers that are no samples. The exponent of wrong bytes takes any value.
type floatJudge struct {
	huge, tiny int
	peak       float64
}

func (f *floatJudge) take(s *wavSpec, b []byte) {
	var order binary.ByteOrder = binary.LittleEndian
	if s.swap {
		order = binary.BigEndian
	}
	width := s.width()
	for ; len(b) >= width; b = b[width:] {
		var x float64
		if width == 8 {
			x = math.Float64frombits(order.Uint64(b))
		} else {
			x = float64(math.Float32frombits(order.Uint32(b)))
		}
		switch x = math.Abs(x); {
		case !(x <= 64):
			f.huge++
		case x > 0 && x < 1e-12:
			f.tiny++
		default:
			f.peak = max(f.peak, x)
		}
	}
}

// bad judges a number of samples. Echoes end in tiny numbers too, but not beside others.
func (f *floatJudge) bad(samples int) bool {
	return 50*f.huge > samples || 5*f.tiny > samples && f.peak > 1e-3
}

// take adds whole frames as they are in the file.
func (j *sampleJudge) take(s *wavSpec, b []byte) {
	width := s.width()
	j.bytes += int64(len(b))
	j.samples += len(b) / width
	if s.isFloat() {
		j.floats.take(s, b)
		return
	}
	if width == 1 {
		decode := func(v byte) float64 { return float64(v) - 128 }
		switch s.format.Codec {
		case "pcm_alaw":
			decode = func(v byte) float64 { return float64(ALawToLinear(v)) }
		case "pcm_mulaw":
			decode = func(v byte) float64 { return float64(MuLawToLinear(v)) }
		}
		for ; len(b) >= s.align; b = b[s.align:] {
			count := &j.low
			if j.odd = !j.odd; j.odd {
				count = &j.high
			}
			for _, v := range b[:s.align] {
				count[v]++
			}
			j.step(decode(b[0]))
		}
		return
	}
	low, high := 0, width-1
	if s.swap {
		low, high = high, low
	}
	for i := 0; i+width <= len(b); i += width {
		j.low[b[i+low]]++
		j.high[b[i+high]]++
		if i%s.align == 0 {
			j.step(float64(int8(b[i+high])) + 0.5)
			j.phases[j.frame%len(j.phases)][b[i+high]]++
			j.frame++
		}
	}
}

func (j *sampleJudge) step(x float64) {
	j.sums[0] += x * x
	j.sums[1] += x * j.last[0]
	j.sums[2] += x * j.last[1]
	j.last[1], j.last[0] = j.last[0], x
}

// verdict returns the number of bytes, up to here, that are found not to be samples.
func (j *sampleJudge) verdict(s *wavSpec) int64 {
	if j.samples < judgeSamples || float64(j.samples) < judgeSeconds*float64(s.format.Rate*s.format.Channels) {
		return 0
	}
	bad := s.isFloat() && j.floats.bad(j.samples) || !s.isFloat() && j.bad(s.width())
	n := j.bytes
	suspect, age := j.suspect, j.age
	*j = sampleJudge{odd: j.odd, suspect: suspect, age: age + 1}
	switch {
	case bad && age < judgeMemory:
		j.suspect, j.age = 0, 0
		return suspect + n
	case bad:
		j.suspect, j.age = n, 0
	case age >= judgeMemory:
		j.suspect = 0
	}
	return 0
}

// bad judges a window.
func (j *sampleJudge) bad(width int) bool {
	if j.unpredictable() < 0.35 {
		return false
	}
	apart := distance(&j.low, &j.high)
	evenLow, evenHigh := distance(&j.low, nil), distance(&j.high, nil)
	if width > 1 {
		if j.periodic() || eightBits(&j.low) && eightBits(&j.high) {
			return true
		}
		if evenHigh < 0.3 && evenLow > evenHigh+0.25 {
			return true // the bytes are in the other order
		}
		return evenHigh < 0.55 && (apart < 0.28 || apart < 0.6*min(evenLow, evenHigh))
	}
	if apart > 0.35 && min(evenLow, evenHigh) < 0.3 {
		return true // 16-bit samples
	}
	return apart < 0.28 && max(evenLow, evenHigh) < 0.22
}

// periodic reports whether every second or third sample is of another kind than the rest, as in samples of another width: the bytes of some
// are spread evenly. The samples of a tone differ too, but have few values each.
func (j *sampleJudge) periodic() bool {
	for _, period := range []int{2, 3} {
		var kinds [3][256]int
		for phase := range j.phases {
			for v, n := range j.phases[phase] {
				kinds[phase%period][v] += n
			}
		}
		even, uneven := false, false
		for i := range period {
			d := distance(&kinds[i], nil)
			even, uneven = even || d < 0.3, uneven || d > 0.5
			if exponents(&kinds[i]) {
				return true
			}
		}
		if even && uneven {
			return true
		}
	}
	return false
}

// exponents reports whether nearly all bytes that are not zero are the first ones of floats of usual levels. Samples of that level alone
// are no audio.
func exponents(count *[256]int) bool {
	floats, all := 0, 0
	for v, n := range count {
		if v != 0 {
			all += n
		}
		if v&0x7f >= 0x36 && v&0x7f <= 0x3f {
			floats += n
		}
	}
	return all > judgeSamples/24 && 10*floats > 9*all
}

// eightBits reports whether nearly all bytes are near the middle of their range, as those of unsigned samples are.
func eightBits(count *[256]int) bool {
	middle, all := 0, 0
	for v, n := range count {
		all += n
		if v >= 0x60 && v < 0xa0 {
			middle += n
		}
	}
	return 10*middle > 9*all
}

// unpredictable returns the share of the power that a linear prediction from two samples leaves. It is small for speech and
// music at usual rates, and for tones of any frequency.
func (j *sampleJudge) unpredictable() float64 {
	if j.sums[0] == 0 {
		return 0
	}
	r1, r2 := j.sums[1]/j.sums[0], j.sums[2]/j.sums[0]
	if math.Abs(r1) > 0.999 {
		return 0
	}
	first, second := r1*(1-r2)/(1-r1*r1), (r2-r1*r1)/(1-r1*r1)
	return 1 - first*r1 - second*r2
}

// certain reports whether the bytes of a window are samples beyond doubt, or silence.
func (j *sampleJudge) certain(width int) bool {
	apart := distance(&j.low, &j.high)
	evenLow, evenHigh := distance(&j.low, nil), distance(&j.high, nil)
	if width > 1 {
		return apart > 0.5 && evenLow < evenHigh || evenHigh > 0.9
	}
	return apart < 0.28 && min(evenLow, evenHigh) > 0.28
}

// foreignSamples returns the number of bytes behind the stated end, from off to end, unless most of them are certain to be
// samples of the PCM codec of the file.
func (f *recording) foreignSamples(info mediaInfo, off, end int64) (bad int64) {
	if len(info.audio) != 1 || !info.pcm() {
		return 0
	}
	a := info.audio[0]
	width := 1
	for i, bits := range []string{"16", "24", "32"} {
		if strings.Contains(a.codec, bits) {
			width = i + 2
		}
	}
	spec := wavSpec{format: Format{Rate: a.rate, Channels: max(a.channels, 1), Codec: a.codec}, swap: strings.HasSuffix(a.codec, "be")}
	spec.align = width * spec.format.Channels
	w := newWindow(f.section(off, end), wavBuffer)
	var j sampleJudge
	for w.have(spec.align) {
		b := w.bytes()
		b = b[:len(b)/spec.align*spec.align]
		j.take(&spec, b)
		w.at += len(b)
		if j.samples < judgeSamples {
			continue
		}
		if !j.certain(width) {
			bad += j.bytes
		}
		j = sampleJudge{}
	}
	if 2*bad <= end-off {
		return 0 // noise and pure tones are not certain
	}
	return end - off
}
