package capture

import (
	"fmt"
	"slices"
	"time"
)

// Segmenter cuts the audio of one leg into segments. Every sample of speech ends up in exactly one of them, submitted
// or skipped.
//
// Runs of speech that are too short for a segment are packed into one with later runs. At the end of the leg a rest below
// SegmenterConfig.MinSpeech is skipped. Bursts of less than a second within music or tones are skipped at once: they are
// false detections as a rule.
//
// It is a state machine without clock, lock or goroutine, and not safe for concurrent use: one goroutine calls [Segmenter.Write]
// and [Segmenter.Gap] in the order of the recording, [Segmenter.Flush] at its end, and after each of them
// [Segmenter.Next] until it has no more.
type Segmenter struct {
	vad  VAD
	cfg  SegmenterConfig
	size int64 // of a frame, in samples

	first, target, least, longest int64 // samples
	preRoll, hangOver, pause      int64 // samples, whole frames: so every cut but the last falls between two frames

	pos       int64   // samples judged so far
	frame     []int16 // the frame that is being filled
	frameLost int64   // samples of it that never arrived
	frameGap  int64   // samples of it without audio, lost or silent

	window    *window // audio of the next segment; before any speech, its pre-roll
	pack      pack    // shorter runs before the window, parts of the same segment
	skip      skipper
	ready     []Segment // cut and not fetched
	seq       int
	submitted int
	lost      int64
	heard     [Noise + 1]int64 // samples of each sound
}

// NewSegmenter returns a segmenter for one leg. It owns the detector from then on.
func NewSegmenter(vad VAD, cfg SegmenterConfig) (*Segmenter, error) {
	cfg = cfg.withDefaults()
	if err := validate(vad, cfg); err != nil {
		return nil, err
	}
	s := &Segmenter{window: &window{}}
	s.measure(vad, cfg)
	return s, nil
}

// validate checks a configuration without zero values, and a detector for it.
func validate(vad VAD, cfg SegmenterConfig) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("segmenter: %w", err)
	}
	if n := vad.FrameSize(); n < 1 || n > cfg.Rate/10 {
		return fmt.Errorf("segmenter: detector frames of %d samples at %d Hz are not within 1 sample..100 ms", n, cfg.Rate)
	}
	return nil
}

// measure converts the configuration to samples.
func (s *Segmenter) measure(vad VAD, cfg SegmenterConfig) {
	n := int64(vad.FrameSize())
	whole := func(d time.Duration) int64 { return (durationToSamples(d, cfg.Rate) + n - 1) / n * n }
	s.vad, s.cfg, s.size = vad, cfg, n
	s.first = durationToSamples(cfg.FirstSpeech, cfg.Rate)
	s.target = durationToSamples(cfg.TargetSpeech, cfg.Rate)
	s.least = durationToSamples(cfg.MinSpeech, cfg.Rate)
	s.longest = durationToSamples(cfg.MaxDuration, cfg.Rate)
	s.preRoll, s.hangOver = whole(cfg.PreRoll), whole(cfg.HangOver)
	s.frame = make([]int16, 0, n)
	s.skip = skipper{rate: int64(cfg.Rate)}
	s.pause = whole(packPause)
	s.pack.pause = s.pause
}

// packPause is the silence between two pieces of a packed segment.
const packPause = 100 * time.Millisecond

// SetRate continues the leg with audio at another rate and with a detector for it. Speech that is enough for an analysis is
// cut at the old rate. Shorter runs are converted and packed with later ones. Positions are converted.
func (s *Segmenter) SetRate(rate int, vad VAD) error {
	cfg := s.cfg
	cfg.Rate = rate
	if err := validate(vad, cfg); err != nil {
		return err
	}
	from := s.cfg.Rate
	s.finishFrame()
	s.Pause()
	for s.window.holdsSpeech() {
		s.stow()
	}
	s.skip.report(s)
	s.pos, s.lost = rescale(s.pos, from, rate), rescale(s.lost, from, rate)
	for i, n := range s.heard {
		s.heard[i] = rescale(n, from, rate)
	}
	s.pack.speech = 0
	for i, w := range s.pack.parts {
		s.pack.parts[i] = w.resampled(from, rate)
		s.pack.speech += s.pack.parts[i].speech
	}
	s.window.reset(s.pos)
	s.measure(vad, cfg)
	return nil
}

// Heard returns the number of samples that the detector classified as a sound. Gaps count as silence.
func (s *Segmenter) Heard(sound Sound) int64 {
	if sound > Noise {
		return 0
	}
	return s.heard[sound]
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
	if s.speech() >= s.least {
		s.cutSpeech()
	}
}

// speech returns the net speech of the pack and the window.
func (s *Segmenter) speech() int64 { return s.pack.speech + s.window.speech }

// cutSpeech ends the window behind its last speech.
func (s *Segmenter) cutSpeech() {
	w := s.window
	at := w.start
	if w.holdsSpeech() {
		at = min(w.end(), w.lastSpeech()+s.hangOver)
	}
	s.cut(at, false)
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
	s.heard[Silence] += samples
	s.window.reset(s.pos)
	s.skip.quiet(s)
}

// Flush ends the leg: the last segment is cut, or skipped when it holds too little speech. Audio that does not fill a
// frame is padded with silence for the detector; the padding does not become part of the segment.
func (s *Segmenter) Flush() {
	s.finishFrame()
	if s.speech() >= s.least {
		s.cutSpeech()
	} else {
		s.skipRest()
	}
	s.skip.report(s)
	s.window.reset(s.pos)
	s.vad.Reset()
}

// finishFrame classifies an incomplete frame, padded with silence.
func (s *Segmenter) finishFrame() {
	if n := int64(len(s.frame)); n > 0 {
		s.frame = s.frame[:cap(s.frame)]
		clear(s.frame[n:])
		s.judge(n)
	}
}

// skipRest skips the speech of the pack and the window, which is too little for a segment.
func (s *Segmenter) skipRest() {
	if w := s.window; w.holdsSpeech() {
		s.window = w.split(min(w.end(), w.lastSpeech()+s.hangOver), s.hangOver)
		if len(s.pack.parts) == 0 || s.falseAlarm(w) {
			s.skip.window(s, w)
		} else {
			s.leave(w.start)
			w.leadIn(0)
			w.leadOut(0)
			s.pack.add(w, s.longest, s.size)
		}
	}
	if len(s.pack.parts) == 0 {
		return
	}
	seg := s.pack.joined(&window{})
	seg.PCM, seg.Voiced, seg.Level, seg.Skipped = nil, nil, 0, ReasonTooLittleSpeech
	s.pack = pack{pause: s.pause}
	s.deliver(seg)
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
	s.heard[sound] += n
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
	case s.speech() >= s.goal() && s.pos-w.lastSpeech() >= s.hangOver:
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
	for s.window.holdsSpeech() && s.pack.size()+int64(len(s.window.pcm))+s.size > s.longest {
		w, least := s.window, s.least-s.pack.speech
		switch {
		case s.speech() < s.least:
			s.stow()
		case sound == Speech && w.end()-w.lastSpeech() < s.hangOver:
			if at, ok := w.lastPause(least); ok {
				s.cut(at+s.hangOver, false)
			} else {
				s.cut(w.quietest(3*int64(s.cfg.Rate), least), true)
			}
		default:
			s.cutSpeech()
		}
	}
}

// stow moves the first run of speech from the window to the pack. The runs after it stay.
func (s *Segmenter) stow() {
	w := s.window
	at := w.end() - s.preRoll
	if len(w.voiced) > 1 {
		at = w.voiced[1].Start - s.preRoll
	}
	at = max(at, w.voiced[0].End)
	s.window = w.split(at, s.hangOver)
	if s.falseAlarm(w) {
		s.skip.window(s, w)
		return
	}
	s.leave(w.start)
	end := w.end()
	rest := w.split(min(w.lastSpeech()+s.hangOver, end), s.hangOver)
	w.leadIn(s.preRoll)
	w.pcm, w.frames = slices.Clone(w.pcm), slices.Clone(w.frames) // not the buffer of a whole window
	s.pack.add(w, s.longest-s.preRoll-s.hangOver-s.size-(s.least-s.pack.speech-w.speech), s.size)
	pos := rest.start
	for _, f := range rest.frames {
		if f.sound != Silence {
			s.skip.sound(s, Span{pos, pos + int64(f.size)}, f.sound)
		}
		pos += int64(f.size)
	}
}

// falseAlarm reports whether a window holds less than a second of speech among more music or tones.
func (s *Segmenter) falseAlarm(w *window) bool {
	heard := w.heard()
	return w.speech < int64(s.cfg.Rate) && max(heard[Tone], heard[Music]) > w.speech
}

// leave ends the skipped sound at the start of speech, so that no sample is in two segments.
func (s *Segmenter) leave(start int64) {
	s.skip.until(start) // the pre-roll may have been booked as another sound
	s.skip.report(s)
}

// cut ends the window at a position within it, and with it the segment. The rest becomes the next window. Pack and window
// must hold enough speech.
func (s *Segmenter) cut(at int64, forced bool) {
	w := s.window
	s.window = w.split(at, s.hangOver)
	s.window.leadIn(s.preRoll)
	if w.holdsSpeech() {
		s.leave(w.start)
	} else {
		*w = window{}
	}
	seg := s.pack.joined(w)
	seg.Forced = forced
	s.pack = pack{pause: s.pause}
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
