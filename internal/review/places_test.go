package review

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// packed is a segment of 8 s of audio in three places of a part: 10 to 13 s, 20 to 24 s and 40 to 41 s.
func packed(k store.PartKey) store.SegmentRow {
	piece := func(at, offset, took int) report.Piece {
		s := func(n int) report.Seconds { return report.Seconds(time.Duration(n) * second) }
		return report.Piece{At: s(at), Offset: s(offset), Duration: s(took)}
	}
	return store.SegmentRow{
		ID:       "p",
		PartKey:  k,
		Leg:      "caller",
		Offset:   10 * second,
		Duration: 8 * second,
		State:    store.SegmentRecorded,
		Rate:     16000,
		Voiced:   [][2]int64{{0, 5 * 16000}, {7 * 16000, 8 * 16000}},
		Pieces:   []report.Piece{piece(0, 10, 3), piece(3, 20, 4), piece(7, 40, 1)},
	}
}

// A packed segment is drawn, lit as speech and played in each of its places, and nowhere between them.
func TestAPackedSegmentIsInItsPlaces(t *testing.T) {
	begun := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, later := store.PartKey{Call: "c", Part: begun.UnixMilli()}, store.PartKey{Call: "c", Part: begun.Add(50 * second).UnixMilli()}
	r := report.CallReport{StartedAt: begun}
	r.Duration = report.Seconds(100 * second)
	r.Legs = []report.LegReport{{Leg: "caller", Threshold: 0.6}}
	for key, want := range map[store.PartKey]struct{ bars, speech, pieces string }{
		first: {
			"[{10.000% 3.000% } {20.000% 4.000% } {40.000% 1.000% }]",
			"[{10.000% 3.000% } {20.000% 2.000% } {40.000% 1.000% }]",
			"0.000,10.000,13.000;3.000,20.000,24.000;7.000,40.000,41.000",
		},
		later: {
			"[{60.000% 3.000% } {70.000% 4.000% } {90.000% 1.000% }]",
			"[{60.000% 3.000% } {70.000% 2.000% } {90.000% 1.000% }]",
			"0.000,60.000,63.000;3.000,70.000,74.000;7.000,90.000,91.000",
		},
	} {
		g := packed(key)
		lane := newTimeline(r, []store.SegmentRow{g}, nil).Lanes[0]
		if got := fmt.Sprint(lane.Bars[0].Pieces); got != want.bars {
			t.Errorf("bars at %s, want %s", got, want.bars)
		}
		if got := fmt.Sprint(lane.Speech); got != want.speech {
			t.Errorf("speech at %s, want %s", got, want.speech)
		}
		if row := rowOfSegment(g, shift(begun, key), 0.6); row.Pieces != want.pieces {
			t.Errorf("played at %s, want %s", row.Pieces, want.pieces)
		}
	}
	g := packed(first)
	if got, want := newTimeline(r, []store.SegmentRow{g}, nil).Lanes[0].Bars[0].Title,
		"caller, 0:10 to 0:41: being analysed, packed from 3 short turns: 0:10, 0:20, 0:40"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	plain := store.SegmentRow{PartKey: first, Offset: 3 * second, Duration: 2 * second}
	if row := rowOfSegment(plain, 0, 0.6); row.Pieces != "" || row.OffsetText != "3.000" || row.EndText != "5.000" {
		t.Errorf("%+v", row)
	}
}

// The peaks of a packed segment are drawn in its places. Between them there is no audio.
func TestPeaksOfAPackedSegment(t *testing.T) {
	g := packed(store.PartKey{})
	peaks := make([]uint8, 8*peakRate)
	for i := range peaks {
		peaks[i] = uint8(1 + i/peakRate) // the second in the audio, from 1
	}
	points := make([]int, 50) // one a second
	for i := range points {
		points[i] = -1
	}
	for _, p := range placesOf(g, 0) {
		draw(points, peaksOf(peaks, p), p.from.Seconds(), 50)
	}
	want := make([]int, 50)
	for i := range want {
		want[i] = -1
	}
	copy(want[10:], []int{1, 2, 3})
	copy(want[20:], []int{4, 5, 6, 7})
	copy(want[40:], []int{8})
	if !reflect.DeepEqual(points, want) {
		t.Errorf("%v, want\n%v", points, want)
	}
	cut := peaksOf(peaks[:2*peakRate], placesOf(g, 0)[2]) // the audio was shorter than its segment
	if len(cut) != 0 {
		t.Errorf("%d peaks of audio that is not there", len(cut))
	}
}

// The end of a packed segment is that of its last piece, which its duration does not show.
func TestTheAxisEndsAfterTheLastPiece(t *testing.T) {
	g := packed(store.PartKey{})
	r := report.CallReport{}
	r.Segments = []report.SegmentReport{{Offset: report.Seconds(g.Offset), Duration: report.Seconds(g.Duration), Pieces: g.Pieces}}
	if got := span(r); got != report.Seconds(41*second) {
		t.Errorf("%v", time.Duration(got))
	}
}
