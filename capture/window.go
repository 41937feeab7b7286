package capture

import "math"

// window holds the audio from which the next segment is cut: consecutive frames and the speech in them.
type window struct {
	start  int64 // position of the first sample in the leg
	pcm    []int16
	frames []frame
	voiced []Span // absolute; pauses shorter than the hang-over are part of the speech around them
	speech int64  // sum of voiced
}

type frame struct {
	size, lost int32
	sound      Sound
}

func (w *window) end() int64        { return w.start + int64(len(w.pcm)) }
func (w *window) holdsSpeech() bool { return len(w.voiced) > 0 }
func (w *window) lastSpeech() int64 { return w.voiced[len(w.voiced)-1].End }
func (w *window) reset(start int64) { *w = window{start: start, pcm: w.pcm[:0], frames: w.frames[:0]} }

// add appends a frame. The slice is copied.
func (w *window) add(pcm []int16, sound Sound, lost, hangOver int64) {
	from := w.end()
	w.pcm = append(w.pcm, pcm...)
	w.frames = append(w.frames, frame{size: int32(len(pcm)), lost: int32(lost), sound: sound})
	if sound != Speech {
		return
	}
	n := int64(len(pcm))
	if w.holdsSpeech() && from-w.lastSpeech() < hangOver {
		last := &w.voiced[len(w.voiced)-1]
		w.speech += w.end() - last.End
		last.End = w.end()
		return
	}
	w.voiced = append(w.voiced, Span{from, from + n})
	w.speech += n
}

// split ends the window at a position between two of its frames and returns the rest, with a buffer of its own.
func (w *window) split(at, hangOver int64) *window {
	head := &window{start: w.start, pcm: w.pcm[:0]}
	rest := &window{start: at}
	pos := w.start
	for _, f := range w.frames {
		pcm := w.pcm[pos-w.start:][:f.size]
		if pos < at {
			head.add(pcm, f.sound, int64(f.lost), hangOver) // onto itself
		} else {
			rest.add(pcm, f.sound, int64(f.lost), hangOver)
		}
		pos += int64(f.size)
	}
	*w = *head
	return rest
}

// keepLast drops the oldest frames of a window without speech, down to n samples. It waits until there are slack samples
// more than that, so that each sample is copied once.
func (w *window) keepLast(n, slack int64) {
	if excess := int64(len(w.pcm)) - n; excess > slack {
		w.dropFirst(excess)
	}
}

// leadIn drops frames that lie more than n samples before the first speech.
func (w *window) leadIn(n int64) {
	if w.holdsSpeech() {
		w.dropFirst(w.voiced[0].Start - n - w.start)
	}
}

// leadOut drops frames that lie more than n samples behind the last speech.
func (w *window) leadOut(n int64) {
	if !w.holdsSpeech() {
		return
	}
	keep, end := len(w.frames), w.end()
	for keep > 0 && end-int64(w.frames[keep-1].size) >= w.lastSpeech()+n {
		keep--
		end -= int64(w.frames[keep].size)
	}
	w.frames, w.pcm = w.frames[:keep], w.pcm[:end-w.start]
}

// dropFirst drops at least n samples, in whole frames, which must hold no speech.
func (w *window) dropFirst(n int64) {
	drop, samples := 0, int64(0)
	for samples < n {
		samples += int64(w.frames[drop].size)
		drop++
	}
	w.pcm = w.pcm[:copy(w.pcm, w.pcm[samples:])]
	w.frames = w.frames[:copy(w.frames, w.frames[drop:])]
	w.start += samples
}

// lastPause returns the end of the speech before the last pause, if at least least samples of speech precede it.
func (w *window) lastPause(least int64) (at int64, ok bool) {
	last := len(w.voiced) - 1
	if last < 1 || w.speech-w.voiced[last].Len() < least {
		return 0, false
	}
	return w.voiced[last-1].End, true
}

// lost returns the number of samples of the window that never arrived.
func (w *window) lost() (n int64) {
	for _, f := range w.frames {
		n += int64(f.lost)
	}
	return n
}

// heard returns the number of samples of each sound.
func (w *window) heard() (samples [Noise + 1]int64) {
	for _, f := range w.frames {
		samples[f.sound] += int64(f.size)
	}
	return samples
}

// audible returns the span from the first to the last frame that is not silence.
func (w *window) audible() (part Span) {
	pos, found := w.start, false
	for _, f := range w.frames {
		if f.sound != Silence {
			if !found {
				part.Start, found = pos, true
			}
			part.End = pos + int64(f.size)
		}
		pos += int64(f.size)
	}
	return part
}

// energy returns the sum of the squares of the speech.
func (w *window) energy() (sum float64) {
	for _, v := range w.voiced {
		sum += energy(w.pcm[v.Start-w.start : v.End-w.start])
	}
	return sum
}

// level returns the RMS level in dBFS of samples with a sum of squares, -Inf for digital silence.
func level(sum float64, samples int64) float64 {
	return 10 * math.Log10(sum/float64(max(samples, 1))/(32768*32768))
}

// quietest returns the place of a forced cut: the end of the quietest frame among the last samples that has at least
// least samples of speech before it.
func (w *window) quietest(last, least int64) int64 {
	best, lowest := w.end(), math.Inf(1)
	pos, speech := w.start, int64(0)
	for _, f := range w.frames {
		pcm := w.pcm[pos-w.start:][:f.size]
		pos += int64(f.size)
		if f.sound == Speech {
			speech += int64(f.size)
		}
		if pos < w.end()-last || speech < least || pos == w.end() {
			continue
		}
		if e := energy(pcm) / float64(f.size); e < lowest {
			best, lowest = pos, e
		}
	}
	return best
}

func energy(pcm []int16) (sum float64) {
	for _, v := range pcm {
		sum += float64(v) * float64(v)
	}
	return sum
}
