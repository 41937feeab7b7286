package backtest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// z is the quantile of the normal distribution for two-sided 95 % intervals.
const z = 1.959963984540054

// margin is the largest half-width of a conclusive interval.
const margin = 0.1

// Rate is a share: Count of Of.
type Rate struct{ Count, Of int }

// Known reports whether the share is defined.
func (r Rate) Known() bool { return r.Of > 0 }

// Value returns the share, NaN if it is not defined.
func (r Rate) Value() float64 { return float64(r.Count) / float64(r.Of) }

// Interval returns Wilson's 95 % score interval, 0 to 1 if the share is not defined.
func (r Rate) Interval() (low, high float64) {
	if r.Of == 0 {
		return 0, 1
	}
	n, p := float64(r.Of), r.Value()
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	low, high = max(0, middle-half), min(1, middle+half)
	if r.Count == 0 {
		low = 0
	}
	if r.Count == r.Of {
		high = 1
	}
	return low, high
}

// String returns the share in per cent, with its interval.
func (r Rate) String() string {
	if !r.Known() {
		return "unknown"
	}
	low, high := r.Interval()
	return fmt.Sprintf("%s (%s to %s)", percent(r.Value()), strings.TrimSuffix(percent(low), " %"), percent(high))
}

// MarshalJSON writes the share with its interval. value, low and high are null if the share is not defined.
func (r Rate) MarshalJSON() ([]byte, error) {
	out := struct {
		Count int      `json:"count"`
		Of    int      `json:"of"`
		Value *float64 `json:"value"`
		Low   *float64 `json:"low"`
		High  *float64 `json:"high"`
	}{Count: r.Count, Of: r.Of}
	if r.Known() {
		value := r.Value()
		low, high := r.Interval()
		out.Value, out.Low, out.High = &value, &low, &high
	}
	return json.Marshal(out)
}

// percent formats a share so that almost none and almost all differ from none and all.
func percent(share float64) string {
	p, digits := 100*share, 1
	switch {
	case p == math.Trunc(p):
		digits = 0
	case p < 1 || p > 99:
		digits = 2
	}
	return strconv.FormatFloat(p, 'f', digits, 64) + " %"
}

// enough returns the number of trials for which the interval of any rate is within margin.
func enough() int { return int(math.Ceil(z * z * (1/(4*margin*margin) - 1))) }

// enoughFor returns the number of trials that prove a rate if none of them fails.
func enoughFor(rate float64) int { return int(math.Ceil(z * z * (1 - rate) / rate)) }
