package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"callscreen/internal/report"
)

func secs(n float64) report.Seconds { return report.Seconds(n * float64(time.Second)) }

// Each leg has a line with what was not heard of it, and the segments are marked that were packed from several places.
func TestTheTableNamesWhatWasNotHeard(t *testing.T) {
	score := 0.1
	r := report.Report{
		File:     "a.wav",
		Decision: "inconclusive",
		Reasons:  []string{"further_part"},
		Legs: []report.LegReport{
			{
				Leg:        "caller",
				Threshold:  0.6,
				Unrecorded: secs(3),
				Unread:     secs(7),
				Paused:     secs(2),
				Ledger: &report.Ledger{
					Unrecorded: map[string]report.Seconds{"late": secs(1), "disk": secs(2)},
					Unread:     map[string]report.Seconds{"further_part": secs(6), report.Damaged: secs(1)},
				},
			},
			{Leg: "agent", Ledger: &report.Ledger{}},
			{Leg: "old"},
		},
		Segments: []report.SegmentReport{{
			Leg:    "caller",
			State:  report.StateScored,
			Score:  &score,
			Pieces: []report.Piece{{Offset: secs(4)}, {Offset: secs(75.5)}},
		}},
	}
	var b bytes.Buffer
	if err := printTable(&b, r); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"\n  caller: 3.0 s not recorded (disk 2.0 s, late 1.0 s), 6.0 s not read (further_part), 1.0 s damaged, 2.0 s paused\n",
		"0.10   packed from 0:04.0 1:15.5\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "agent:") || strings.Contains(text, "old:") {
		t.Errorf("a line about legs that were heard completely:\n%s", text)
	}
	if _, ok := r.Legs[0].Ledger.Unread[report.Damaged]; !ok {
		t.Error("printing changed the report")
	}
}
