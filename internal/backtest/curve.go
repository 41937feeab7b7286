package backtest

import (
	"math"
	"slices"
	"sort"
)

// Point is the evaluation of the new policy with another threshold.
type Point struct {
	Threshold      float64 `json:"threshold"`
	Flagged        int     `json:"flagged"` // of all calls
	Precision      Rate    `json:"precision"`
	Recall         Rate    `json:"recall"`
	FalseAlarmRate Rate    `json:"false_alarm_rate"`
}

// maxKnots limits the points at which the curve steps. The hundredths and the marked thresholds come in addition.
const maxKnots = 200

// sweep holds the tipping thresholds of the calls, in ascending order once sorted.
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

// flagged returns the number of calls that a threshold flags.
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

// curve returns a point for each threshold at which a reviewed call changes, or for an even selection of them, for each
// hundredth and for the marked thresholds. Every point is exact.
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

// thin returns an even selection of at most most values, including the first and the last.
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
