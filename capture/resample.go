package capture

import "math"

// resampler converts a stream of audio from one rate to another with a windowed sinc. It delays the audio by half of its
// length, 16 samples of the lower rate, and adds or drops none: the output has the length of the input at its rate.
type resampler struct {
	from, to int
	up, down int64
	taps     [][]float32 // by phase
	in       []int16     // the last len(taps[0])-1 samples of the stream, then new ones
	next     int64       // index of the next output in units of 1/up input samples, relative to the first new input
}

func newResampler(from, to int) *resampler {
	g := gcd(from, to)
	r := &resampler{from: from, to: to, up: int64(to / g), down: int64(from / g)}
	cutoff := min(1, float64(to)/float64(from))
	half := int(math.Ceil(16 / cutoff))
	r.taps = make([][]float32, r.up)
	for phase := range r.taps {
		t := make([]float32, 2*half)
		sum := 0.0
		for k := range t {
			x := float64(k-half) + float64(phase)/float64(r.up)
			h := sinc(cutoff*x) * (0.5 + 0.5*math.Cos(math.Pi*x/float64(half+1)))
			t[k] = float32(h)
			sum += h
		}
		for k := range t {
			t[k] /= float32(sum)
		}
		r.taps[phase] = t
	}
	r.reset()
	return r
}

func (r *resampler) reset() {
	n := len(r.taps[0]) - 1
	if cap(r.in) < n {
		r.in = make([]int16, n, n+4096)
	}
	r.in = r.in[:n]
	clear(r.in)
	r.next = 0
}

// delay returns the samples of output before the first sample of input.
func (r *resampler) delay() int64 { return rescale(int64(len(r.taps[0])/2), r.from, r.to) }

// process appends the converted audio to dst.
func (r *resampler) process(dst, pcm []int16) []int16 {
	past := len(r.taps[0]) - 1
	r.in = append(r.in[:past], pcm...)
	for end := int64(len(pcm)) * r.up; r.next < end; r.next += r.down {
		at, taps := past+int(r.next/r.up), r.taps[r.next%r.up]
		sum := float32(0)
		for k, h := range taps {
			sum += h * float32(r.in[at-k])
		}
		dst = append(dst, clip(sum))
	}
	r.next -= int64(len(pcm)) * r.up
	copy(r.in, r.in[len(pcm):])
	return dst
}

// resampled returns the window at another rate.
func (w *window) resampled(from, to int) *window {
	r := newResampler(from, to)
	end := rescale(w.end(), from, to)
	out := &window{start: rescale(w.start, from, to)}
	n := end - out.start
	pcm := r.process(nil, w.pcm)
	for int64(len(pcm)) < n+r.delay() {
		pcm = r.process(pcm, make([]int16, len(r.taps[0])))
	}
	out.pcm = append(out.pcm, pcm[r.delay():][:n]...)
	pos, at := w.start, out.start
	for _, f := range w.frames {
		pos += int64(f.size)
		next := rescale(pos, from, to)
		out.frames = append(out.frames, frame{
			size:  int32(next - at),
			lost:  int32(rescale(int64(f.lost), from, to)),
			sound: f.sound,
		})
		at = next
	}
	for _, v := range w.voiced {
		v = Span{rescale(v.Start, from, to), rescale(v.End, from, to)}
		out.voiced = append(out.voiced, v)
		out.speech += v.Len()
	}
	return out
}

func clip(x float32) int16 {
	return int16(max(-32768, min(32767, math.Round(float64(x)))))
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
