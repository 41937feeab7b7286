package capture_test

import (
	"testing"
	"time"

	"callscreen/capture"
)

// Eight turns of 2.3 s, 29 s apart, are all analysed. Each turn used to be skipped as too little speech.
func TestShortTurnsAreAnalysed(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 20*time.Second).hear(capture.Silence, 29*time.Second)
	for range 8 {
		sc.hear(capture.Speech, 2300*ms).hear(capture.Silence, 29*time.Second)
	}
	sc.end()
	var analysed time.Duration
	for _, seg := range sc.segs {
		if seg.Skipped != "" {
			t.Errorf("%v at %v is skipped: %s", seg.SpeechDuration(), seg.Offset(), seg.Skipped)
		}
		analysed += seg.SpeechDuration()
	}
	if want := 20*time.Second + 8*2300*ms; analysed != want {
		t.Errorf("%v of %v are analysed", analysed, want)
	}
}

// A thousand short words are analysed, and the buffers of the words that wait stay small.
func TestManyShortWordsArePacked(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{})
	for range 1000 {
		sc.hear(capture.Speech, 40*ms).hear(capture.Silence, 29*time.Second)
	}
	sc.end()
	var analysed time.Duration
	for _, seg := range sc.segs {
		if seg.Skipped == "" {
			analysed += seg.SpeechDuration()
		}
		if seg.Duration() > 30*time.Second {
			t.Errorf("a segment lasts %v", seg.Duration())
		}
	}
	if analysed < 37*time.Second {
		t.Errorf("%v of 40 s are analysed", analysed)
	}
}

// False detections within hold music do not add up to a segment that would be paid for.
func TestFalseDetectionsInMusicAreNotPacked(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{})
	for range 20 {
		sc.hear(capture.Music, 20*time.Second).hear(capture.Speech, 200*ms)
	}
	sc.hear(capture.Music, 30*time.Second).end()
	for _, seg := range sc.segs {
		if seg.Skipped == "" {
			t.Errorf("%v at %v would be analysed", seg.Duration(), seg.Offset())
		}
	}
}

// A leg goes on at another rate: times stay, and a turn before the change is packed with one after it.
func TestSegmenterChangesItsRate(t *testing.T) {
	sc := newScene(t, capture.SegmenterConfig{}).hear(capture.Speech, 5*time.Second).hear(capture.Silence, time.Second).
		hear(capture.Speech, 2*time.Second).hear(capture.Silence, time.Second)
	if err := sc.s.SetRate(16000, &wideVAD{}); err != nil {
		t.Fatal(err)
	}
	if got := sc.s.Position(); got != 9*16000 {
		t.Errorf("position %d", got)
	}
	wide := make([]int16, 2*16000)
	for i := range wide {
		wide[i] = 8000
	}
	sc.s.Write(wide)
	sc.end()
	if len(sc.segs) != 2 || sc.segs[0].Rate != 8000 || sc.segs[1].Rate != 16000 {
		t.Fatalf("%v", describe(sc.segs))
	}
	seg := sc.segs[1]
	if seg.Offset() != 5700*ms || seg.SpeechDuration() != 4*time.Second || len(seg.Pieces) != 2 || seg.End() != 11*time.Second {
		t.Errorf("%v %v", describe(sc.segs), seg.Pieces)
	}
	for _, v := range seg.VoicedPCM() {
		if level := seg.PCM[(v.Start+v.End)/2]; level < 7900 || level > 8100 {
			t.Errorf("a sample of speech is %d, not about 8000", level)
		}
	}
	if err := sc.s.SetRate(16000, &tagVAD{}); err != nil {
		t.Error(err)
	}
	if err := sc.s.SetRate(100, &tagVAD{}); err == nil {
		t.Error("a rate of 100 Hz is taken")
	}
}

// wideVAD takes every frame of 20 ms at 16 kHz that is not silent for speech.
type wideVAD struct{}

func (wideVAD) FrameSize() int { return 320 }
func (wideVAD) Reset()         {}
func (wideVAD) Classify(frame []int16) capture.Sound {
	if frame[0] > 100 {
		return capture.Speech
	}
	return capture.Silence
}
