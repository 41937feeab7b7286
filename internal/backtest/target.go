package backtest

import (
	"fmt"
	"math"
)

// Target is the lowest threshold that keeps a false-alarm rate.
type Target struct {
	Rate      float64 `json:"rate"`
	Threshold float64 `json:"threshold"`
	// Proven reports whether the upper bound of the 95 % interval keeps the rate too. Otherwise only the observed share
	// keeps it, which may be chance.
	Proven bool `json:"proven"`
	// Possible is false without false_alarm dispositions, or if overrides with their own threshold cause more false
	// alarms.
	Possible bool  `json:"possible"`
	Point    Point `json:"point"`
	// Needed is the minimum number of false_alarm dispositions for a proof.
	Needed int `json:"needed"`
}

// target returns the lowest threshold that keeps a false-alarm rate: proven if possible, otherwise as observed.
func (s *sweep) target(rate float64) Target {
	t := Target{Rate: rate, Needed: enoughFor(rate)}
	n := len(s.falseAlarms)
	if n == 0 {
		return t
	}
	tolerated := -1 // number of false alarms that may remain
	for k := 0; k <= n; k++ {
		if _, high := (Rate{k, n}).Interval(); high > rate {
			break
		}
		tolerated, t.Proven = k, true
	}
	if !t.Proven {
		tolerated = int(rate * float64(n))
	}
	// The remaining ones tip highest; the next one must not be flagged.
	if tolerated < n {
		t.Threshold = max(s.falseAlarms[n-1-tolerated], 0)
	}
	if math.IsInf(t.Threshold, 1) {
		return Target{Rate: rate, Needed: t.Needed}
	}
	t.Possible, t.Point = true, s.at(t.Threshold)
	return t
}

// String describes the target in a sentence.
func (t Target) String() string {
	rate := percent(t.Rate)
	if !t.Possible {
		return fmt.Sprintf(
			"No threshold is known that keeps the false-alarm rate within %s. Finding one needs false_alarm dispositions, "+
				"at least %d for a proof, and no override with its own threshold that flags too many of them.",
			rate,
			t.Needed,
		)
	}
	found := t.Point.FalseAlarmRate
	text := fmt.Sprintf("%v, with which %d of %d false alarms would still be flagged, %v", t.Threshold, found.Count, found.Of, found)
	if t.Proven {
		return fmt.Sprintf(
			"The lowest threshold that keeps the false-alarm rate within %s, also by the upper bound of its 95 %% interval, "+
				"is %s; recall %v.",
			rate,
			text,
			t.Point.Recall,
		)
	}
	return fmt.Sprintf(
		"No threshold can be shown to keep the false-alarm rate within %s: that takes at least %d false_alarm dispositions. "+
			"By the observed share it would be %s; recall %v.",
		rate,
		t.Needed,
		text,
		t.Point.Recall,
	)
}
