package capture_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callscreen/capture"
)

// scene writes stretches of tagged sound and collects the segments.
type scene struct {
	t    *testing.T
	s    *capture.Segmenter
	vad  *tagVAD
	segs []capture.Segment
}

func newScene(t *testing.T, cfg capture.SegmenterConfig) *scene {
	t.Helper()
	cfg.Rate = 8000
	vad := &tagVAD{}
	s, err := capture.NewSegmenter(vad, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &scene{t: t, s: s, vad: vad}
}

func (sc *scene) hear(sound capture.Sound, d time.Duration) *scene { return sc.at(sound, 8000, d) }

// at writes a stretch of sound with samples of about this amplitude.
func (sc *scene) at(sound capture.Sound, amplitude int16, d time.Duration) *scene {
	pcm := make([]int16, d*8/time.Millisecond)
	for i := range pcm {
		pcm[i] = amplitude&^7 | int16(sound)
	}
	sc.s.Write(pcm)
	return sc.fetch()
}

func (sc *scene) gap(d time.Duration, lost bool) *scene {
	sc.s.Gap(int64(d*8/time.Millisecond), lost)
	return sc.fetch()
}

func (sc *scene) end() *scene {
	sc.s.Flush()
	return sc.fetch()
}

func (sc *scene) fetch() *scene {
	for seg, ok := sc.s.Next(); ok; seg, ok = sc.s.Next() {
		sc.segs = append(sc.segs, seg)
	}
	return sc
}

func (sc *scene) want(lines ...string) {
	sc.t.Helper()
	var got []string
	for _, s := range sc.segs {
		line := fmt.Sprintf("%v+%v speech %v", s.Offset(), s.Duration(), s.SpeechDuration())
		if s.Skipped != "" {
			line += " " + s.Skipped
		}
		if s.Forced {
			line += " forced"
		}
		if s.Lost > 0 {
			line += fmt.Sprintf(" lost %v", s.LostDuration())
		}
		for _, p := range s.Pieces {
			line += fmt.Sprintf(" [%v: %v-%v]", at(p.At), at(p.Span.Start), at(p.Span.End))
		}
		got = append(got, line)
	}
	if g, w := strings.Join(got, "\n"), strings.Join(lines, "\n"); g != w {
		sc.t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

const ms = time.Millisecond

func at(samples int64) time.Duration { return capture.Duration(samples, 8000) }

func TestFirstSegmentIsCutEarlyAndTheOthersAtTheTarget(t *testing.T) {
	newScene(t, capture.SegmenterConfig{}).
		hear(capture.Silence, time.Second).
		hear(capture.Speech, 5*time.Second).hear(capture.Silence, time.Second).
		hear(capture.Speech, 6*time.Second).hear(capture.Silence, time.Second).
		hear(capture.Speech, 5*time.Second).hear(capture.Silence, time.Second).end().
		want("700ms+5.6s speech 5s", "6.7s+12.6s speech 11s")
}

func TestShortPausesBelongToTheSpeech(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{})
	for range 10 {
		sc.hear(capture.Speech, 400*ms).hear(capture.Silence, 280*ms)
	}
	sc.hear(capture.Silence, time.Second).end().want("0s+6.82s speech 6.52s")
}

func TestHangUpFlushesAndTheTailBelowTheFloorIsSkipped(t *testing.T) {
	newScene(t, capture.SegmenterConfig{}).
		hear(capture.Speech, 5*time.Second).hear(capture.Silence, time.Second).hear(capture.Speech, 3*time.Second).end().
		want("0s+5.3s speech 5s", "5.7s+3.3s speech 3s")
	newScene(t, capture.SegmenterConfig{}).
		hear(capture.Speech, 5*time.Second).hear(capture.Silence, time.Second).hear(capture.Speech, 2900*ms).end().
		want("0s+5.3s speech 5s", "6s+2.9s speech 2.9s too_little_speech")
}

// A frame cut short by the hang-up counts with its true length and adds no audio.
func TestHangUpInTheMiddleOfAFrame(t *testing.T) {
	newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 5*time.Second+7*ms).end().want("0s+5.007s speech 5.007s")
}

func TestSpeechWithoutAPauseIsCutAtItsQuietestPlace(t *testing.T) {
	newScene(t, capture.SegmenterConfig{}).
		hear(capture.Speech, 28*time.Second).at(capture.Speech, 800, 20*ms).hear(capture.Speech, 11980*ms).end().
		want("0s+28.02s speech 28.02s forced", "28.02s+11.98s speech 11.98s")
}

func TestAMaximumThatFallsIntoAPauseTakesTheSpeechBeforeIt(t *testing.T) {
	newScene(t, capture.SegmenterConfig{}).
		hear(capture.Speech, 3500*ms).
		hear(capture.Silence, 60*time.Second).hear(capture.Speech, 4*time.Second).hear(capture.Silence, time.Second).end().
		want("0s+3.8s speech 3.5s", "1m3.2s+4.6s speech 4s")
}

// Single words of a caller are packed into one segment.
func TestSparseSpeechIsPacked(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, time.Second).hear(capture.Silence, 27*time.Second)
	for range 5 {
		sc.hear(capture.Speech, time.Second).hear(capture.Silence, 2*time.Second)
	}
	sc.end().want(
		"0s+9s speech 4s [0s: 0s-1.3s] [1.4s: 27.7s-35.3s]",
		"37s+4s speech 2s too_little_speech",
	)
}

func TestOtherSoundsAreSkippedByName(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{})
	for range 4 { // ring-back: one report, not four
		sc.hear(capture.Tone, 2*time.Second).hear(capture.Silence, 4*time.Second)
	}
	sc.hear(capture.Silence, 2*time.Second).hear(capture.Music, 90*time.Second).hear(capture.Silence, 6*time.Second).
		hear(capture.Noise, 3*time.Second).hear(capture.Silence, 6*time.Second).
		hear(capture.Noise, 500*ms).end(). // a click
		want("0s+20s speech 0s tone", "26s+1m30s speech 0s music", "2m2s+3s speech 0s noise")
	// A false alarm of the detector in the middle of hold music.
	newScene(
		t,
		capture.SegmenterConfig{},
	).hear(capture.Music, 20*time.Second).
		hear(capture.Speech, 100*ms).
		hear(capture.Music, 60*time.Second).
		end().
		want("0s+1m20.1s speech 100ms music")
}

func TestSpeechTooQuietToJudgeIsSkipped(t *testing.T) {
	newScene(t, capture.SegmenterConfig{MinLevel: -40}).
		at(capture.Speech, 160, 5*time.Second).hear(capture.Silence, time.Second). // -46 dBFS
		at(capture.Speech, 800, 5*time.Second).hear(capture.Silence, time.Second). // -32 dBFS
		end().want("0s+5.3s speech 5s too_quiet", "5.7s+5.6s speech 5s")
}

func TestGapsKeepThePositionTrue(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).
		hear(capture.Speech, 2003*ms).gap(500*ms, true).hear(capture.Speech, 3*time.Second).gap(10*time.Minute, false).
		hear(capture.Speech, 4*time.Second).end()
	sc.want("0s+5.82s speech 5.04s lost 500ms", "10m5.5s+4.003s speech 4.003s")
	if got := sc.s.Position(); got != 8*(2003+500+3000+600000+4000) {
		t.Errorf("position %d", got)
	}
}

// A verdict does not wait for the end of a hold.
func TestPauseCutsWhatIsEnough(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 3500*ms)
	sc.s.Pause()
	sc.fetch().want("0s+3.5s speech 3.5s")
	sc.hear(capture.Speech, 2*time.Second)
	sc.s.Pause()
	sc.fetch().gap(time.Minute, false).hear(capture.Speech, 2*time.Second).end().
		want("0s+3.5s speech 3.5s", "3.5s+4.4s speech 4s [0s: 3.5s-5.8s] [2.4s: 1m5.5s-1m7.5s]")
}

func TestConcealedAudioIsLost(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 2*time.Second)
	sc.s.Conceal(spoken(60 * time.Millisecond))
	sc.hear(capture.Speech, 2*time.Second).end().want("0s+4.06s speech 4.06s lost 60ms")
	if sc.s.Lost() != 480 {
		t.Errorf("lost %d", sc.s.Lost())
	}
}

func TestAHoldOfAWeekCostsNothing(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 2*time.Second)
	before := sc.vad.frames
	sc.gap(7*24*time.Hour, false).hear(capture.Speech, 5*time.Second).end()
	if n := sc.vad.frames - before; n > 260 {
		t.Errorf("the detector judged %d frames for five seconds of audio", n)
	}
	sc.want("0s+7.4s speech 7s [0s: 0s-2.3s] [2.4s: 168h0m2s-168h0m7s]")
}

func TestWriteDoesNotAllocateWhileNothingIsSaid(t *testing.T) {
	s, err := capture.NewSegmenter(&tagVAD{}, capture.SegmenterConfig{Rate: 8000})
	if err != nil {
		t.Fatal(err)
	}
	block := make([]int16, 8000)
	s.Write(block)
	if n := testing.AllocsPerRun(100, func() { s.Write(block) }); n != 0 {
		t.Errorf("%v allocations per second of silence", n)
	}
}

func TestConfigIsJudgedWithItsDefaults(t *testing.T) {
	if err := (capture.SegmenterConfig{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	err := capture.SegmenterConfig{
		Rate:         4000,
		FirstSpeech:  time.Second,
		TargetSpeech: 2 * time.Second,
		MaxDuration:  2 * time.Second,
		PreRoll:      -1,
		MinLevel:     3,
	}.Validate()
	for _, want := range []string{
		"sample_rate: is 4000 Hz",
		"first_speech: is 1s, less than min_speech 3s",
		"target_speech: is 2s",
		"max_duration: is 2s",
		"pre-roll -1ns",
		"min_level: is 3",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if _, err := capture.NewSegmenter(&tagVAD{}, capture.SegmenterConfig{Rate: 1}); err == nil {
		t.Error("a segmenter at 1 Hz")
	}
}

func BenchmarkSegmenter(b *testing.B) {
	for _, sound := range []capture.Sound{capture.Silence, capture.Speech} {
		b.Run(sound.String(), func(b *testing.B) {
			s, err := capture.NewSegmenter(&tagVAD{}, capture.SegmenterConfig{Rate: 16000})
			if err != nil {
				b.Fatal(err)
			}
			block := make([]int16, 320)
			for i := range block {
				block[i] = 8000 | int16(sound)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				s.Write(block)
				for _, ok := s.Next(); ok; _, ok = s.Next() {
				}
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(n)*3000, "ms/min")
		})
	}
}

func ExampleSegmenter() {
	vad := &tagVAD{} // in a program: vad.New(16000, nil) of callscreen/capture/vad
	s, err := capture.NewSegmenter(vad, capture.SegmenterConfig{Rate: 8000})
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Write(spoken(6 * time.Second))
	s.Gap(20*8000, false) // on hold
	s.Write(spoken(2 * time.Second))
	s.Flush()
	for seg, ok := s.Next(); ok; seg, ok = s.Next() {
		fmt.Printf("%v: %v of speech, %d samples, skipped %q\n", seg.Offset(), seg.SpeechDuration(), len(seg.PCM), seg.Skipped)
	}
	// Output:
	// 0s: 6s of speech, 50400 samples, skipped ""
	// 26s: 2s of speech, 0 samples, skipped "too_little_speech"
}

// spoken returns audio that tagVAD classifies as speech.
func spoken(d time.Duration) []int16 {
	pcm := make([]int16, d*8/time.Millisecond)
	for i := range pcm {
		pcm[i] = 8000 | int16(capture.Speech)
	}
	return pcm
}
