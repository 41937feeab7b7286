package review

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"callscreen/internal/report"
)

func secs(n float64) report.Seconds { return report.Seconds(n * float64(time.Second)) }

func gapsText(l report.LegReport) string {
	var list []string
	for _, g := range gapsOf(l) {
		list = append(list, g.Kind+": "+g.Title())
	}
	return strings.Join(list, "\n")
}

// Each gap of a live leg is at its place with its reason, and a pause names those who paused and resumed.
func TestGapsOfALiveLeg(t *testing.T) {
	l := report.LegReport{Leg: "caller", Duration: secs(100), Ledger: &report.Ledger{
		Spans: []report.Span{
			{Start: secs(5), End: secs(6), Reason: "lost"},
			{Start: secs(30), End: secs(50), Reason: "paused"},
			{Start: secs(60), End: secs(70), Reason: "absent"},
			{Start: secs(80), End: secs(82), Reason: "disk"},
			{Start: secs(90), End: secs(91), Reason: "one_of_tomorrow"},
		},
		Pauses: []report.Pause{
			{By: "anna", ResumedBy: "bob", From: secs(30), To: secs(50)},
			{By: "pbx", From: secs(95)},
		},
	}}
	want := `lost: caller, 0:05 to 0:06: lost on the network
paused: caller, 0:30 to 0:50: paused by anna, resumed by bob
absent: caller, 1:00 to 1:10: no sender
unrecorded: caller, 1:20 to 1:22: not recorded: the disk was full or failed
unrecorded: caller, 1:30 to 1:31: not recorded: one of tomorrow
paused: caller, 1:35 to 1:40: paused by pbx, not resumed yet`
	if got := gapsText(l); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	l.Ledger.Pauses = nil
	if got := gapsText(l); !strings.Contains(got, "paused: caller, 0:30 to 0:50: paused\n") {
		t.Errorf("without names: %s", got)
	}
	if l.Ledger = nil; gapsText(l) != "" {
		t.Errorf("a leg without a ledger: %s", gapsText(l))
	}
}

// Audio that follows what was read of a file is drawn behind it. Damaged audio and other tracks are not.
func TestUnreadAudioFollowsWhatWasRead(t *testing.T) {
	l := report.LegReport{Leg: "caller", Duration: secs(20), Unread: secs(17), Ledger: &report.Ledger{
		Unread: map[string]report.Seconds{"further_part": secs(12), "further_track": secs(4), report.Damaged: secs(1)},
	}}
	if got, want := gapsText(l), "unread: caller, 0:20 to 0:32: not read: in a further part of the file"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	r := report.CallReport{}
	r.Duration, r.Legs = secs(20), []report.LegReport{l}
	timeline := newTimeline(r, nil, nil)
	if timeline.Duration != secs(32) || span(r) != secs(32) {
		t.Errorf("the axis ends at %v, that of the waveform at %v", time.Duration(timeline.Duration), time.Duration(span(r)))
	}
	if got, want := fmt.Sprint(timeline.Lanes[0].Gaps[0].X, " ", timeline.Legend), "62.500% [{unread in the file, not read}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTheLedgerInWords(t *testing.T) {
	r := report.CallReport{}
	r.Legs = []report.LegReport{
		{
			Leg:        "caller",
			Recorded:   secs(20),
			Unrecorded: secs(3),
			Ledger: &report.Ledger{
				Unrecorded:  map[string]report.Seconds{"late": secs(1), "leg_busy": secs(2), "unknown_ssrc": 0},
				Interrupted: true,
				Packets: &report.Packets{
					Sent:       1160,
					Recorded:   1000,
					Lost:       10,
					Unrecorded: map[string]int64{"late": 50, "leg_busy": 100},
				},
				Pauses: []report.Pause{{By: "anna"}, {By: "bob"}, {By: "anna"}},
			},
		},
		{
			Leg: "file",
			Ledger: &report.Ledger{
				Unread: map[string]report.Seconds{"further_part": secs(2)},
				Bytes:  &report.Bytes{Size: 100, Read: 60, Damaged: 10, Unread: map[string]int64{"further_part": 30}},
			},
		},
		{Leg: "old"},
	}
	v := newLedgerView(r)
	if !v.Unknown || v.Rows[2].Known || !v.Rows[0].Known || !v.Rows[0].Interrupted {
		t.Errorf("%+v", v)
	}
	for got, want := range map[string]string{
		v.Rows[0].WhyUnrecorded: "2.0\u00a0s another sender was recorded as this leg; 1.0\u00a0s arrived too late; " +
			"0.0\u00a0s stray packets of another stream",
		v.Rows[0].WhyPaused: "by anna, bob",
		v.Rows[0].Sums: "1160 packets sent = 1000 recorded + 10 lost + 150 not recorded " +
			"(50 arrived too late; 100 another sender was recorded as this leg)",
		v.Rows[1].WhyUnread: "in a further part of the file",
		v.Rows[1].Sums:      "100 bytes in the file = 60 read + 10 damaged + 30 not read (30 in a further part of the file)",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A page lists a bounded number of gaps and names how many there are besides.
func TestTheListOfGapsIsBounded(t *testing.T) {
	var r report.CallReport
	l := report.LegReport{Leg: "caller", Ledger: &report.Ledger{}}
	for i := range mostGaps + 7 {
		l.Ledger.Spans = append(l.Ledger.Spans, report.Span{Start: secs(float64(i)), End: secs(float64(i) + 0.5), Reason: "lost"})
	}
	r.Legs = []report.LegReport{l}
	if v := newLedgerView(r); len(v.Gaps) != mostGaps || v.More != 7 {
		t.Errorf("%d gaps, %d more", len(v.Gaps), v.More)
	}
}

func TestOrdinals(t *testing.T) {
	for n, want := range map[int]string{1: "1st", 2: "2nd", 3: "3rd", 4: "4th", 11: "11th", 12: "12th", 13: "13th", 21: "21st", 112: "112th"} {
		if got := ordinal(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
