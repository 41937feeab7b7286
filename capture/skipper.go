package capture

// skipper collects sound that is not submitted, and reports it as skipped segments.
type skipper struct {
	rate   int64
	active bool
	span   Span
	speech int64
	lost   int64
	heard  [Noise + 1]int64 // samples of each sound
}

// sound adds a frame outside any window that holds a sound other than speech.
func (k *skipper) sound(s *Segmenter, at Span, sound Sound) {
	k.extend(s, at)
	k.heard[sound] += at.Len()
}

// window adds a window that holds too little speech.
func (k *skipper) window(s *Segmenter, w *window) {
	k.extend(s, w.audible())
	k.speech += w.speech
	k.lost += w.lost()
	for sound, n := range w.heard() {
		k.heard[sound] += n
	}
}

func (k *skipper) extend(s *Segmenter, at Span) {
	if k.active && at.Start-k.span.End > k.patience() {
		k.report(s)
	}
	if !k.active {
		k.active, k.span.Start = true, at.Start
	}
	k.span.End = at.End
}

// until ends the span at the start of a segment, so that the two do not overlap.
func (k *skipper) until(start int64) {
	k.span.End = min(k.span.End, start)
	if k.span.Len() <= 0 {
		*k = skipper{rate: k.rate}
	}
}

// quiet reports the collected sound once silence has lasted longer than patience.
func (k *skipper) quiet(s *Segmenter) {
	if k.active && s.pos-k.span.End > k.patience() {
		k.report(s)
	}
}

// patience bridges the pauses of ring-back and dialled digits, so that they make one report.
func (k *skipper) patience() int64 { return 5 * k.rate }

// report delivers the collected sound as one skipped segment. Less than a second of sound without speech is not reported.
func (k *skipper) report(s *Segmenter) {
	most := Tone
	for _, sound := range []Sound{Music, Noise} {
		if k.heard[sound] > k.heard[most] {
			most = sound
		}
	}
	reason := ReasonTooLittleSpeech
	if k.heard[most] > k.speech && k.speech < k.rate {
		reason = most.String()
	}
	if k.speech > 0 || k.heard[most] >= k.rate {
		s.deliver(Segment{Span: k.span, Speech: k.speech, Lost: k.lost, Skipped: reason})
	}
	*k = skipper{rate: k.rate}
}
