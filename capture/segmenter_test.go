package capture_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"callscreen/capture"
)

const frameSize = 160 // 20 ms at 8 kHz

// runs returns n, or a tenth of it in short mode, as under the race detector.
func runs[T int | uint64](n T) T {
	if testing.Short() {
		return n / 10
	}
	return n
}

// tagVAD reads the sound from the low bits of the samples, so that a test sets the class of each frame.
type tagVAD struct{ frames, resets int }

func (v *tagVAD) FrameSize() int { return frameSize }
func (v *tagVAD) Reset()         { v.resets++ }
func (v *tagVAD) Classify(frame []int16) capture.Sound {
	v.frames++
	return tagged(frame)
}

func tagged(frame []int16) capture.Sound {
	var tag int16
	for _, s := range frame {
		tag = max(tag, s&7)
	}
	return capture.Sound(tag)
}

// leg is a random recording with its gaps.
type leg struct {
	rng  *rand.Rand
	cfg  capture.SegmenterConfig
	pcm  []int16
	gaps []gap
}

type gap struct {
	capture.Span
	lost bool
}

func newLegOf(seed uint64) leg {
	rng := rand.New(rand.NewPCG(seed, 2))
	l := leg{rng: rng, cfg: capture.SegmenterConfig{
		Rate:         8000,
		FirstSpeech:  time.Duration(1000+rng.IntN(1000)) * time.Millisecond,
		TargetSpeech: time.Duration(1000+rng.IntN(3000)) * time.Millisecond,
		MinSpeech:    time.Duration(300+rng.IntN(700)) * time.Millisecond,
		MaxDuration:  time.Duration(5000+rng.IntN(5000)) * time.Millisecond,
		PreRoll:      time.Duration(1+rng.IntN(300)) * time.Millisecond,
		HangOver:     time.Duration(1+rng.IntN(300)) * time.Millisecond,
	}}
	frames := rng.IntN(1500) // up to 30 s
	talkative := rng.Float64() * rng.Float64()
	for len(l.pcm) < frames*frameSize {
		sound := capture.Silence
		switch r := rng.Float64(); {
		case r < talkative:
			sound = capture.Speech
		case r < talkative+0.1:
			sound = capture.Sound(2 + rng.IntN(3))
		}
		for range (1 + rng.IntN(100)) * frameSize {
			l.pcm = append(l.pcm, int16(1000+len(l.pcm)*7%20011)&^7|int16(sound)) // no two frames alike
		}
	}
	l.pcm = l.pcm[:max(0, len(l.pcm)-rng.IntN(frameSize))]
	for range rng.IntN(4) {
		from := int64(0)
		if n := len(l.gaps); n > 0 {
			from = l.gaps[n-1].End + 1
		}
		if from >= int64(len(l.pcm)) {
			break
		}
		start := from + rng.Int64N(int64(len(l.pcm))-from)
		end := min(start+rng.Int64N(8000*10), int64(len(l.pcm)))
		l.gaps = append(l.gaps, gap{capture.Span{Start: start, End: end}, rng.IntN(2) == 0})
		clear(l.pcm[start:end])
	}
	return l
}

// segments runs the leg through a segmenter, in blocks of random size.
func (l leg) segments(t *testing.T, rng *rand.Rand) ([]capture.Segment, *capture.Segmenter) {
	t.Helper()
	s, err := capture.NewSegmenter(&tagVAD{}, l.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out []capture.Segment
	fetch := func() {
		for seg, ok := s.Next(); ok; seg, ok = s.Next() {
			out = append(out, seg)
		}
	}
	pos := int64(0)
	write := func(until int64) {
		for pos < until {
			n := min(1+rng.Int64N(1000), until-pos)
			block := slices.Clone(l.pcm[pos : pos+n])
			s.Write(block)
			clear(block) // a kept block would show
			pos += n
			fetch()
		}
	}
	for _, g := range l.gaps {
		write(g.Start)
		s.Gap(g.Len(), g.lost)
		pos = g.End
		fetch()
	}
	write(int64(len(l.pcm)))
	s.Flush()
	fetch()
	return out, s
}

func frames(d time.Duration) int64 {
	return (int64(d)*8/int64(time.Millisecond) + frameSize - 1) / frameSize * frameSize
}

// The properties of the segmenter, over legs of random speech, music, silence and gaps.
func TestSegmenterProperties(t *testing.T) {
	var submitted, skipped, forced, packed int
	for seed := range runs(uint64(3000)) {
		l := newLegOf(seed)
		segs, s := l.segments(t, rand.New(rand.NewPCG(seed, 3)))
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("seed %d: "+format, append([]any{seed}, args...)...)
		}
		if s.Position() != int64(len(l.pcm)) {
			fail("position %d after %d samples", s.Position(), len(l.pcm))
		}
		var lost int64
		for _, g := range l.gaps {
			if g.lost {
				lost += g.Len()
			}
		}
		if s.Lost() != lost {
			fail("lost %d, want %d", s.Lost(), lost)
		}
		holders := make([]int, len(l.pcm)/frameSize+1) // segments that hold each frame's speech
		var taken []capture.Span
		for i, seg := range segs {
			if seg.Seq != i || seg.Rate != 8000 {
				fail("segment %d has seq %d, rate %d", i, seg.Seq, seg.Rate)
			}
			for _, p := range seg.Places() {
				if p.Span.Start < seg.Span.Start || p.Span.End > seg.Span.End || p.Span.Len() <= 0 || seg.Span.End > s.Position() {
					fail("segment %d at %v: piece %v is empty, or leaves the segment or the recording", i, seg.Span, p)
				}
				taken = append(taken, p.Span)
			}
			if seg.Skipped != "" {
				skipped++
				if seg.PCM != nil {
					fail("skipped segment %d carries audio", i)
				}
				for _, p := range seg.Places() {
					for pos := p.Span.Start; pos < p.Span.End; pos += frameSize {
						holders[pos/frameSize]++
					}
				}
				continue
			}
			submitted++
			if len(seg.Pieces) > 1 {
				packed++
			}
			if want := l.audio(seg); !slices.Equal(seg.PCM, want) {
				fail("segment %d does not hold the samples of its places %v", i, seg.Places())
			}
			if seg.Duration() > l.cfg.MaxDuration || seg.Duration() != capture.Duration(int64(len(seg.PCM)), 8000) {
				fail("segment %d lasts %v, more than %v, or not the length of its audio", i, seg.Duration(), l.cfg.MaxDuration)
			}
			if seg.SpeechDuration() < l.cfg.MinSpeech {
				fail("segment %d holds %v of speech, less than %v", i, seg.SpeechDuration(), l.cfg.MinSpeech)
			}
			sum, last := int64(0), seg.Span.Start
			for j, v := range seg.Voiced {
				if v.Start < last || v.End > seg.Span.End || v.Len() <= 0 {
					fail("segment %d %v: voiced %v", i, seg.Span, seg.Voiced)
				}
				sum, last = sum+v.Len(), v.End
				for pos := v.Start; pos < v.End; pos += frameSize {
					holders[pos/frameSize]++
				}
				if in := seg.VoicedPCM()[j]; !slices.Equal(seg.PCM[in.Start:in.End], l.pcm[v.Start:v.End]) {
					fail("segment %d: the speech %v is not at %v of its audio", i, v, in)
				}
			}
			if sum != seg.Speech {
				fail("segment %d: voiced adds up to %d, speech is %d", i, sum, seg.Speech)
			}
			if lead := seg.Voiced[0].Start - seg.Span.Start; lead > frames(l.cfg.PreRoll) {
				fail("segment %d: pre-roll of %d samples, more than %v", i, lead, l.cfg.PreRoll)
			}
			if seg.Forced {
				forced++
			} else if e := seg.Span.End; e != s.Position() && tagged(
				l.pcm[e-frameSize:e],
			) == capture.Speech && tagged(l.pcm[e:e+frameSize]) == capture.Speech {
				fail("segment %d is cut in the middle of speech at %d", i, seg.Span.End)
			}
			var segLost int64
			for _, g := range l.gaps {
				for _, p := range seg.Places() {
					if g.lost {
						segLost += max(0, min(g.End, p.Span.End)-max(g.Start, p.Span.Start))
					}
				}
			}
			if seg.Lost != segLost {
				fail("segment %d: lost %d, want %d", i, seg.Lost, segLost)
			}
		}
		slices.SortFunc(taken, func(a, b capture.Span) int { return cmp.Compare(a.Start, b.Start) })
		for i := range taken[min(1, len(taken)):] {
			if taken[i+1].Start < taken[i].End {
				fail("%v and %v overlap", taken[i], taken[i+1])
			}
		}
		for i := range holders {
			at := l.pcm[i*frameSize : min((i+1)*frameSize, len(l.pcm))]
			if tagged(at) == capture.Speech && holders[i] != 1 {
				fail("the speech at %d is in %d segments", i*frameSize, holders[i])
				break
			}
		}
		if t.Failed() {
			t.Fatalf("%+v\n%+v", l.cfg, describe(segs))
		}
	}
	if submitted < runs(3000) || skipped < runs(1000) || forced < runs(50) || packed < runs(50) {
		t.Fatalf("%d submitted, %d skipped, %d forced, %d packed: too few to show anything", submitted, skipped, forced, packed)
	}
}

// audio returns the samples of a segment by the places that it names.
func (l leg) audio(seg capture.Segment) (pcm []int16) {
	for _, p := range seg.Places() {
		pcm = append(pcm, make([]int16, p.At-int64(len(pcm)))...) // silence between two pieces
		pcm = append(pcm, l.pcm[p.Span.Start:p.Span.End]...)
	}
	return pcm
}

// Speech that is enough for a segment in sum is never skipped, in however short turns it comes: only a rest below the
// minimum is, at the end.
func TestOnlyARestOfSpeechIsSkipped(t *testing.T) {
	tried := 0
	for seed := range runs(uint64(3000)) {
		l := newLegOf(seed)
		for i, v := range l.pcm {
			if tag := capture.Sound(v & 7); tag == capture.Tone || tag == capture.Music {
				l.pcm[i] = v&^7 | int16(capture.Noise)
			}
		}
		segs, s := l.segments(t, rand.New(rand.NewPCG(seed, 3)))
		var skipped, heard int64
		for _, seg := range segs {
			if seg.Skipped != "" {
				skipped += seg.Speech
				tried++
			} else {
				heard += seg.Speech
			}
		}
		if capture.Duration(skipped, 8000) >= l.cfg.MinSpeech {
			t.Fatalf("seed %d: %d samples of speech are skipped: %+v\n%v", seed, skipped, l.cfg, describe(segs))
		}
		// Pauses shorter than the hang-over count as speech.
		if detected := s.Heard(capture.Speech); heard+skipped < detected {
			t.Fatalf("seed %d: %d samples of speech were detected, %d are in segments", seed, detected, heard+skipped)
		}
	}
	if tried < runs(300) {
		t.Fatalf("only %d skipped segments", tried)
	}
}

func TestBlockSizeDoesNotMatter(t *testing.T) {
	for seed := range runs(uint64(300)) {
		l := newLegOf(seed)
		a, _ := l.segments(t, rand.New(rand.NewPCG(seed, 4)))
		b, _ := l.segments(t, rand.New(rand.NewPCG(seed, 5)))
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d:\n%v\n%v", seed, describe(a), describe(b))
		}
	}
}

func describe(segs []capture.Segment) (lines []string) {
	for _, s := range segs {
		lines = append(
			lines,
			fmt.Sprintf(
				"#%d %v+%v speech %v lost %v %s forced=%v\n",
				s.Seq,
				s.Offset(),
				s.Duration(),
				s.SpeechDuration(),
				s.LostDuration(),
				s.Skipped,
				s.Forced,
			),
		)
	}
	return lines
}
