package backtest

import (
	"math"
	"slices"
	"sort"
)

// Point is how the new policy does with another threshold.
type Point struct {
	Threshold      float64 `json:"threshold"`
	Flagged        int     `json:"flagged"` // of all calls
	Precision      Rate    `json:"precision"`
	Recall         Rate    `json:"recall"`
	FalseAlarmRate Rate    `json:"false_alarm_rate"`
}

// maxKnots bounds the points of a curve at which it steps, besides the hundredths and the thresholds that are marked.
const maxKnots = 200

// sweep is where the decision about each call tips, in ascending order once sorted.
type sweep struct {
	all, confirmed, falseAlarms []float64
}

func (s *sweep) add(tipping float64, disposition string) {
	s.all = append(s.all, tipping)
	switch disposition {
	case ConfirmedSynthetic:
		s.confirmed = append(s.confirmed, tipping)
	case FalseAlarm:
		s.falseAlarms = append(s.falseAlarms, tipping)
	}
}

func (s *sweep) sort() {
	slices.Sort(s.all)
	slices.Sort(s.confirmed)
	slices.Sort(s.falseAlarms)
}

// flagged is how many of the calls a threshold flags.
func flagged(tippings []float64, threshold float64) int {
	i := sort.Search(len(tippings), func(i int) bool { return tippings[i] > threshold })
	return len(tippings) - i
}

func (s *sweep) at(threshold float64) Point {
	hits, alarms := flagged(s.confirmed, threshold), flagged(s.falseAlarms, threshold)
	return Point{
		Threshold:      threshold,
		Flagged:        flagged(s.all, threshold),
		Precision:      Rate{hits, hits + alarms},
		Recall:         Rate{hits, len(s.confirmed)},
		FalseAlarmRate: Rate{alarms, len(s.falseAlarms)},
	}
}

// curve has a point wherever something changes for a call that was reviewed, or some hundreds evenly out of those; and
// one at each hundredth and at the thresholds that are marked. Every point is exact.
func (s *sweep) curve(marks ...float64) []Point {
	knots := slices.Concat(s.confirmed, s.falseAlarms)
	if len(knots) == 0 {
		knots = slices.Clone(s.all)
	}
	slices.Sort(knots)
	knots = slices.DeleteFunc(slices.Compact(knots), func(t float64) bool { return math.IsInf(t, 0) })
	at := thin(knots, maxKnots)
	for i := range 101 {
		at = append(at, float64(i)/100)
	}
	at = append(at, marks...)
	slices.Sort(at)
	at = slices.Compact(at)
	points := make([]Point, len(at))
	for i, t := range at {
		points[i] = s.at(t)
	}
	return points
}

// thin takes at most so many values, evenly, the first and the last among them.
func thin(values []float64, most int) []float64 {
	if len(values) <= most {
		return values
	}
	out := make([]float64, most)
	for i := range out {
		out[i] = values[i*(len(values)-1)/(most-1)]
	}
	return out
}
