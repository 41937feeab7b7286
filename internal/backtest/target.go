package backtest

import (
	"fmt"
	"math"
)

// Target is the lowest threshold that keeps a false-alarm rate.
type Target struct {
	Rate      float64 `json:"rate"`
	Threshold float64 `json:"threshold"`
	// Proven tells that the upper bound of the interval of 95 % keeps the rate too. Otherwise only the share that was
	// seen does, and chance may have had its part in that.
	Proven bool `json:"proven"`
	// Possible is false if there is nothing to go by, or if overrides with a threshold of their own cause more false alarms.
	Possible bool  `json:"possible"`
	Point    Point `json:"point"`
	// Needed is how many false_alarm dispositions are needed at the least to prove it.
	Needed int `json:"needed"`
}

// target looks for the lowest threshold that keeps a false-alarm rate: proven if that is possible, or else as it was seen.
func (s *sweep) target(rate float64) Target {
	t := Target{Rate: rate, Needed: enoughFor(rate)}
	n := len(s.falseAlarms)
	if n == 0 {
		return t
	}
	tolerated := -1 // how many false alarms may stay
	for k := 0; k <= n; k++ {
		if _, high := (Rate{k, n}).Interval(); high > rate {
			break
		}
		tolerated, t.Proven = k, true
	}
	if !t.Proven {
		tolerated = int(rate * float64(n))
	}
	// Those that stay tip highest; the next one must not be flagged any more.
	if tolerated < n {
		t.Threshold = max(s.falseAlarms[n-1-tolerated], 0)
	}
	if math.IsInf(t.Threshold, 1) {
		return Target{Rate: rate, Needed: t.Needed}
	}
	t.Possible, t.Point = true, s.at(t.Threshold)
	return t
}

// String tells what was found, in a sentence.
func (t Target) String() string {
	rate := percent(t.Rate)
	if !t.Possible {
		return fmt.Sprintf(
			"No threshold can be told that keeps the false-alarm rate within %s: that takes false_alarm dispositions, at least %d to show it, and no override with a threshold of its own that flags too many of them.",
			rate,
			t.Needed,
		)
	}
	found := t.Point.FalseAlarmRate
	text := fmt.Sprintf("%v, with which %d of %d false alarms would still be flagged, %v", t.Threshold, found.Count, found.Of, found)
	if t.Proven {
		return fmt.Sprintf(
			"The lowest threshold that keeps the false-alarm rate within %s, also by the upper bound of its interval of 95 %%, is %s; recall %v.",
			rate,
			text,
			t.Point.Recall,
		)
	}
	return fmt.Sprintf(
		"No threshold can be shown to keep the false-alarm rate within %s: that takes at least %d false_alarm dispositions. By what was seen it would be %s; recall %v.",
		rate,
		t.Needed,
		text,
		t.Point.Recall,
	)
}
