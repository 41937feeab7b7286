package capture

import "fmt"

// Segmenter cuts the audio of one leg into segments. Every sample of speech ends up in exactly one of them, submitted
// or skipped. Segments do not overlap.
//
// It is a state machine without clock, lock or goroutine, and not safe for concurrent use: one goroutine calls [Segmenter.Write]
// and [Segmenter.Gap] in the order of the recording, [Segmenter.Flush] at its end, and after each of them
// [Segmenter.Next] until it has no more.
type Segmenter struct {
	vad  VAD
	cfg  SegmenterConfig
	size int64 // of a frame, in samples

	first, target, least, longest int64 // samples
	preRoll, hangOver             int64 // samples, whole frames: so every cut but the last falls between two frames

	pos       int64   // samples judged so far
	frame     []int16 // the frame that is being filled
	frameLost int64   // samples of it that never arrived
	frameGap  int64   // samples of it without audio, lost or silent

	window    *window // audio of the next segment; before any speech, its pre-roll
	skip      skipper
	ready     []Segment // cut and not fetched
	seq       int
	submitted int
	lost      int64
}

// NewSegmenter returns a segmenter for one leg. It owns the detector from then on.
func NewSegmenter(vad VAD, cfg SegmenterConfig) (*Segmenter, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("segmenter: %w", err)
	}
	cfg = cfg.withDefaults()
	n := int64(vad.FrameSize())
	if n < 1 || n > int64(cfg.Rate)/10 {
		return nil, fmt.Errorf("segmenter: detector frames of %d samples at %d Hz are not within 1 sample..100 ms", n, cfg.Rate)
	}
	s := &Segmenter{
		vad:      vad,
		cfg:      cfg,
		size:     n,
		first:    durationToSamples(cfg.FirstSpeech, cfg.Rate),
		target:   durationToSamples(cfg.TargetSpeech, cfg.Rate),
		least:    durationToSamples(cfg.MinSpeech, cfg.Rate),
		longest:  durationToSamples(cfg.MaxDuration, cfg.Rate),
		preRoll:  (durationToSamples(cfg.PreRoll, cfg.Rate) + n - 1) / n * n,
		hangOver: (durationToSamples(cfg.HangOver, cfg.Rate) + n - 1) / n * n,
		frame:    make([]int16, 0, n),
		window:   &window{},
		skip:     skipper{rate: int64(cfg.Rate)},
	}
	return s, nil
}

// Write takes the next samples, mono 16-bit at the configured rate, any number of them. It does not keep the slice.
func (s *Segmenter) Write(pcm []int16) {
	for len(pcm) > 0 {
		n := copy(s.frame[len(s.frame):cap(s.frame)], pcm)
		s.frame = s.frame[:len(s.frame)+n]
		pcm = pcm[n:]
		if len(s.frame) == cap(s.frame) {
			s.judge(s.size)
		}
	}
}

// Conceal takes audio that was synthesized in place of lost audio. It is classified like any other and counts as lost.
func (s *Segmenter) Conceal(pcm []int16) {
	s.lost += int64(len(pcm))
	for len(pcm) > 0 {
		n := copy(s.frame[len(s.frame):cap(s.frame)], pcm)
		s.frame = s.frame[:len(s.frame)+n]
		s.frameLost += int64(n)
		pcm = pcm[n:]
		if len(s.frame) == cap(s.frame) {
			s.judge(s.size)
		}
	}
}

// Pause reports that no audio has arrived for a while. The speech so far is cut if it is enough for an analysis, so that
// its verdict does not wait for the end of a hold.
func (s *Segmenter) Pause() {
	if w := s.window; w.holdsSpeech() && w.speech >= s.least {
		s.cut(min(w.end(), w.lastSpeech()+s.hangOver), false)
	}
}

// Gap advances the position over samples without audio: lost if they were sent and never arrived, otherwise silence, as
// in DTX, mute or hold. Its cost in time and memory does not grow with the length of the gap.
func (s *Segmenter) Gap(samples int64, lost bool) {
	if samples > 0 && lost {
		s.lost += samples
	}
	for samples > 0 {
		if len(s.frame) == 0 && !s.window.holdsSpeech() && samples >= s.size {
			whole := samples / s.size * s.size
			s.jump(whole)
			samples -= whole
			continue
		}
		from := len(s.frame)
		n := min(samples, int64(cap(s.frame)-from))
		s.frame = s.frame[:from+int(n)]
		clear(s.frame[from:])
		s.frameGap += n
		if lost {
			s.frameLost += n
		}
		samples -= n
		if len(s.frame) == cap(s.frame) {
			s.judge(s.size)
		}
	}
}

// jump advances over whole frames of a gap while the window holds no speech.
func (s *Segmenter) jump(samples int64) {
	s.vad.Reset()
	s.pos += samples
	s.window.reset(s.pos)
	s.skip.quiet(s)
}

// Flush ends the leg: the last segment is cut, or skipped when it holds too little speech. Audio that does not fill a
// frame is padded with silence for the detector; the padding does not become part of the segment.
func (s *Segmenter) Flush() {
	if n := int64(len(s.frame)); n > 0 {
		s.frame = s.frame[:cap(s.frame)]
		clear(s.frame[n:])
		s.judge(n)
	}
	if w := s.window; w.holdsSpeech() {
		s.cut(min(w.end(), w.lastSpeech()+s.hangOver), false)
	}
	s.skip.report(s)
	s.window.reset(s.pos)
	s.vad.Reset()
}

// Next returns the segments in the order in which they were cut. It returns false when none is ready.
func (s *Segmenter) Next() (Segment, bool) {
	if len(s.ready) == 0 {
		return Segment{}, false
	}
	seg := s.ready[0]
	s.ready[0] = Segment{} // the receiver owns its audio now
	s.ready = s.ready[1:]
	return seg, true
}

// Position returns the length of the leg so far in samples, gaps included.
func (s *Segmenter) Position() int64 { return s.pos + int64(len(s.frame)) }

// Lost returns the number of samples of the leg that never arrived.
func (s *Segmenter) Lost() int64 { return s.lost }

// judge classifies the frame, of which n samples are audio, adds it to the window, and cuts where the rules ask for it.
func (s *Segmenter) judge(n int64) {
	sound := Silence
	if s.frameGap < n {
		sound = s.vad.Classify(s.frame)
	} else {
		s.vad.Reset()
	}
	s.makeRoom(sound)
	from := s.pos
	s.pos += n
	w := s.window
	if sound == Speech && !w.holdsSpeech() {
		w.keepLast(s.preRoll, 0)
	}
	w.add(s.frame[:n], sound, s.frameLost, s.hangOver)
	s.frame = s.frame[:0]
	s.frameLost, s.frameGap = 0, 0
	switch {
	case !w.holdsSpeech():
		w.keepLast(s.preRoll, s.preRoll)
		if sound == Silence {
			s.skip.quiet(s)
		} else {
			s.skip.sound(s, Span{from, s.pos}, sound)
		}
	case w.speech >= s.goal() && s.pos-w.lastSpeech() >= s.hangOver:
		s.cut(s.pos, false)
	}
}

// goal returns the net speech at which the next pause ends the segment.
func (s *Segmenter) goal() int64 {
	if s.submitted == 0 {
		return s.first
	}
	return s.target
}

// makeRoom cuts or shortens the window if one more frame, of class sound, would make it too long.
func (s *Segmenter) makeRoom(sound Sound) {
	for s.window.holdsSpeech() && int64(len(s.window.pcm))+s.size > s.longest {
		w := s.window
		switch {
		case w.speech < s.least:
			s.giveUp()
		case sound == Speech && w.end()-w.lastSpeech() < s.hangOver:
			if at, ok := w.lastPause(s.least); ok {
				s.cut(at+s.hangOver, false)
			} else {
				s.cut(w.quietest(3*int64(s.cfg.Rate), s.least), true)
			}
		default:
			s.cut(min(w.end(), w.lastSpeech()+s.hangOver), false)
		}
	}
}

// giveUp skips the first run of speech of a window that reached the maximum duration with too little speech in it. The
// runs after it stay, and may become a segment together with later speech.
func (s *Segmenter) giveUp() {
	w := s.window
	at := w.end() - s.preRoll
	if len(w.voiced) > 1 {
		at = w.voiced[1].Start - s.preRoll
	}
	at = max(at, w.voiced[0].End)
	s.window = w.split(at, s.hangOver)
	s.skip.window(s, w)
}

// cut ends the window at a position within it. The rest becomes the next window.
func (s *Segmenter) cut(at int64, forced bool) {
	w := s.window
	s.window = w.split(at, s.hangOver)
	s.window.leadIn(s.preRoll)
	if w.speech < s.least {
		s.skip.window(s, w)
		return
	}
	s.skip.until(w.start) // the pre-roll may have been booked as another sound
	s.skip.report(s)
	seg := Segment{
		Span:   Span{w.start, w.end()},
		PCM:    w.pcm,
		Voiced: w.voiced,
		Speech: w.speech,
		Lost:   w.lost(),
		Level:  w.level(),
		Forced: forced,
	}
	if seg.Level < s.cfg.MinLevel {
		seg.PCM, seg.Voiced, seg.Skipped = nil, nil, ReasonTooQuiet
	} else {
		s.submitted++
	}
	s.deliver(seg)
}

func (s *Segmenter) deliver(seg Segment) {
	seg.Seq, seg.Rate = s.seq, s.cfg.Rate
	s.seq++
	s.ready = append(s.ready, seg)
}
