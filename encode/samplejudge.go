package encode

import (
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
	low, high [256]int // in 8-bit formats: of the frames with an even and an odd number
	samples   int
	bytes     int64
	odd       bool
	last      [2]float64
	sums      [3]float64 // of products of samples that are 0, 1 and 2 apart
	suspect   int64      // bytes of an earlier window that was bad and is not booked
	age       int        // windows since the last bad one
}

const (
	judgeSamples = 4096 // of a window, at least
	judgeSeconds = 0.2
	// judgeMemory is the number of windows within which a second bad one confirms the first.
	judgeMemory = 3
)

// width returns the bytes of a sample, or 0 for a format that is not judged. Floats of wrong bytes are no numbers.
func (s *wavSpec) width() int {
	switch s.format.Codec {
	case "pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw":
		return 1
	case "pcm_f32le", "pcm_f64le", "pcm_f32be", "pcm_f64be":
		return 0
	}
	return s.align / s.format.Channels
}

// take adds whole frames as they are in the file.
func (j *sampleJudge) take(s *wavSpec, b []byte) {
	width := s.width()
	if width == 0 {
		return
	}
	j.bytes += int64(len(b))
	j.samples += len(b) / width
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
	bad := j.bad(s.width())
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
