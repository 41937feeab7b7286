package review

import (
	"strings"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

const second = time.Second

// Every element is drawn at its time, also in a later part of the call, and unrecorded time is a gap.
func TestTheTimeline(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, later := store.PartKey{Call: "c", Part: begun.UnixMilli()}, store.PartKey{Call: "c", Part: begun.Add(60 * second).UnixMilli()}
	score := func(f float64) *float64 { return &f }
	segments := []store.SegmentRow{
		{
			ID:       "a",
			PartKey:  first,
			Leg:      "caller",
			Offset:   10 * second,
			Duration: 10 * second,
			State:    store.SegmentScored,
			Score:    score(0.5),
			Rate:     16000,
			Voiced:   [][2]int64{{0, 16000}, {32000, 160000}},
		},
		{
			ID:       "b",
			PartKey:  first,
			Leg:      "caller",
			Offset:   20 * second,
			Duration: 5 * second,
			State:    store.SegmentSkipped,
			Reason:   "music",
		},
		{
			ID:       "c",
			PartKey:  later,
			Leg:      "caller",
			Offset:   10 * second,
			Duration: 20 * second,
			State:    store.SegmentScored,
			Score:    score(0.61),
			Lost:     2 * second,
		},
		{
			ID:       "d",
			PartKey:  later,
			Leg:      "caller",
			Offset:   35 * second,
			Duration: second,
			State:    store.SegmentFailed,
			Reason:   "timeout",
		},
		{
			ID:       "e",
			PartKey:  first,
			Leg:      "agent",
			Offset:   0,
			Duration: 100 * second,
			State:    store.SegmentSubmitted,
		},
	}
	parts := []store.Part{
		{PartKey: first, Legs: []store.LegProgress{{Leg: "caller", Duration: 30 * second}, {Leg: "agent", Duration: 30 * second}}},
		{PartKey: later, Legs: []store.LegProgress{{Leg: "caller", Duration: 40 * second}}},
	}
	r := report.CallReport{StartedAt: begun}
	r.Legs = []report.LegReport{{Leg: "agent", Threshold: 0.6}, {Leg: "caller", Threshold: 0.6}}
	v := newTimeline(r, segments, parts)
	if v.Duration != report.Seconds(100*second) || len(v.Lanes) != 2 || len(v.Ticks) != 4 || v.Ticks[3].Label != "1:30" ||
		v.Ticks[0].Anchor != "start" {
		t.Fatalf("%+v", v)
	}
	caller := v.Lanes[1]
	for i, want := range []bar{
		{
			ID:    "a",
			Kind:  "under",
			X:     "10.000%",
			W:     "10.000%",
			Label: "0.50",
			Title: "caller, 0:10 to 0:20: score 0.50, not over the threshold",
		},
		{
			ID:    "b",
			Kind:  "skipped",
			X:     "20.000%",
			W:     "5.000%",
			Title: "caller, 0:20 to 0:25: skipped: music, as on hold",
		},
		{
			ID:    "c",
			Kind:  "over",
			X:     "70.000%",
			W:     "20.000%",
			Label: "0.61",
			LostW: "2.000%",
			Title: "caller, 1:10 to 1:30: score 0.61, over the threshold, 2.0\u00a0s lost",
		},
		{
			ID:    "d",
			Kind:  "failed",
			X:     "95.000%",
			W:     "1.000%",
			Title: "caller, 1:35 to 1:36: not analysed: the analysis was not finished in time",
		},
	} {
		got := caller.Bars[i]
		if got.ID != want.ID || got.Kind != want.Kind || got.X != want.X || got.W != want.W || got.Label != want.Label ||
			got.LostW != want.LostW ||
			got.Title != want.Title {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
	// A bar crosses the threshold line only if its score exceeds the threshold.
	for _, b := range caller.Bars {
		if over := b.Y < caller.ThresholdY; b.Kind == "over" != over && (b.Kind == "over" || b.Kind == "under") {
			t.Errorf("%s: the bar begins at %v, the threshold is at %v", b.ID, b.Y, caller.ThresholdY)
		}
	}
	if len(caller.NotRecorded) != 1 || caller.NotRecorded[0].X != "30.000%" || caller.NotRecorded[0].W != "30.000%" ||
		caller.NotRecorded[0].Title != "not recorded, 0:30 to 1:00" ||
		len(v.Lanes[0].NotRecorded) != 0 {
		t.Errorf("%+v", caller.NotRecorded)
	}
	if len(caller.Speech) != 2 || caller.Speech[0] != (stretch{X: "10.000%", W: "1.000%"}) ||
		caller.Speech[1] != (stretch{X: "12.000%", W: "8.000%"}) {
		t.Errorf("%+v", caller.Speech)
	}
}

func TestTheTimelineOfNothing(t *testing.T) {
	r := report.CallReport{}
	if v := newTimeline(r, nil, nil); len(v.Lanes) != 0 {
		t.Errorf("%+v", v)
	}
	r.Legs = []report.LegReport{{Leg: "caller"}}
	if v := newTimeline(r, []store.SegmentRow{{Leg: "caller"}, {Leg: "stranger"}}, nil); len(v.Lanes) != 1 ||
		strings.Contains(v.Lanes[0].Bars[0].X, "NaN") {
		t.Errorf("%+v", v)
	}
}

func TestAxesHaveFewTicks(t *testing.T) {
	for _, d := range []time.Duration{second, 7 * second, 63 * second, 10 * time.Minute, time.Hour, 2*time.Hour + 5*second, 30 * time.Hour} {
		if ticks := (axis{d}).ticks(); len(ticks) < 2 || len(ticks) > mostTicks {
			t.Errorf("%v: %d ticks", d, len(ticks))
		}
	}
}

// Invariant: every reason of the program has a text.
func TestReasonsAreInWords(t *testing.T) {
	for _, r := range []string{
		policy.ReasonOverThreshold,
		policy.ReasonBelowThreshold,
		policy.ReasonSuspicious,
		policy.ReasonTooLittleSpeech,
		policy.ReasonTooLittleCoverage,
		policy.ReasonPending,
		policy.ReasonFailed,
		policy.ReasonInvalidScore,
		policy.ReasonUnscreenedAllowed,
		string(analyzer.KindUnauthorized),
		string(analyzer.KindNoCredit),
		string(analyzer.KindRejected),
		string(analyzer.KindTooLarge),
		string(analyzer.KindJobNotFound),
		string(analyzer.KindJobFailed),
		string(analyzer.KindInvalidAnswer),
		string(analyzer.KindTimeout),
		string(analyzer.KindRateLimited),
		string(analyzer.KindUnavailable),
		string(analyzer.KindNetwork),
		string(analyzer.KindInDoubt),
		string(analyzer.KindUnreadable),
		string(analyzer.KindCanceled),
		report.ReasonStorage,
		report.Damaged,
		screen.ReasonSampled,
		policy.ReasonMissingLeg,
		policy.ReasonNoAudio,
		policy.ReasonNoise,
		policy.ReasonLost,
		policy.ReasonPaused,
		policy.ReasonInterrupted,
		"earlier_call",
		string(capture.UnrecordedLegBusy),
		string(capture.UnrecordedUnknownSSRC),
		string(capture.UnrecordedCodec),
		string(capture.UnrecordedMalformed),
		string(capture.UnrecordedOtherSource),
		string(capture.UnrecordedOverlap),
		string(capture.UnrecordedLate),
		string(capture.UnrecordedBacklog),
		string(capture.UnrecordedDisk),
		string(capture.MissingLost),
		string(capture.MissingPaused),
		string(capture.MissingAbsent),
		string(encode.BehindStatedSize),
		string(encode.FurtherPart),
		string(encode.FurtherTrack),
		string(encode.ReaderGaveUp),
		string(encode.OtherChunk),
		"mono_source",
		"too_quiet",
		"tone",
		"music",
		"noise",
	} {
		if reasonWords[r] == "" {
			t.Errorf("there are no words for %s", r)
		}
	}
	if inWords("some_new_one") != "some new one" {
		t.Error(inWords("some_new_one"))
	}
}

func TestLengthsInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                       "0.0 s",
		7100 * time.Millisecond: "7.1 s",
		9960 * time.Millisecond: "10 s",
		63 * second:             "63 s",
		99 * second:             "99 s",
		185 * second:            "3:05",
		3723 * second:           "1:02:03",
	} {
		if got := strings.ReplaceAll(secondsText(report.Seconds(d)), "\u00a0", " "); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0:                 "under a minute",
		119 * time.Minute: "119 min",
		3 * time.Hour:     "3 h",
		71 * time.Hour:    "3 days",
	} {
		if got := agoText(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// The oldest entries are removed first if the cache is full.
func TestPeaksAreBounded(t *testing.T) {
	c := newPeakCache(3000)
	for i := range 10 {
		c.put(string(rune('a'+i)), make([]uint8, 800))
		c.get("a")
	}
	_, a := c.get("a")
	_, b := c.get("b")
	_, j := c.get("j")
	if !a || b || !j || c.used > 3000 || len(c.byID) != 3 || c.order.Len() != 3 {
		t.Errorf("%v %v %v, %d bytes, %d entries", a, b, j, c.used, len(c.byID))
	}
	c.put("huge", make([]uint8, 10_000))
	if _, ok := c.get("huge"); !ok || c.order.Len() != 1 {
		t.Errorf("%d entries", c.order.Len())
	}
}
