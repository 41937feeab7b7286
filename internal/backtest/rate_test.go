package backtest_test

import (
	"encoding/json"
	"math"
	"testing"

	"callscreen/internal/backtest"
)

// The examples of Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
func TestIntervalsAreThoseOfWilson(t *testing.T) {
	for _, c := range []struct {
		rate      backtest.Rate
		low, high float64
	}{
		{backtest.Rate{Count: 81, Of: 263}, 0.2553, 0.3662},
		{backtest.Rate{Count: 15, Of: 148}, 0.0624, 0.1605},
		{backtest.Rate{Count: 0, Of: 20}, 0, 0.1611},
		{backtest.Rate{Count: 1, Of: 29}, 0.0061, 0.1718},
		{backtest.Rate{Count: 20, Of: 20}, 0.8389, 1},
		{backtest.Rate{}, 0, 1},
	} {
		low, high := c.rate.Interval()
		if math.Abs(low-c.low) > 5e-5 || math.Abs(high-c.high) > 5e-5 {
			t.Errorf("%d of %d: %.4f..%.4f, want %.4f..%.4f", c.rate.Count, c.rate.Of, low, high, c.low, c.high)
		}
	}
}

func TestIntervalsHoldTheShareAndNarrowWithTheTrials(t *testing.T) {
	for n := 1; n < 200; n++ {
		for k := 0; k <= n; k++ {
			r := backtest.Rate{Count: k, Of: n}
			low, high := r.Interval()
			if low < 0 || high > 1 || low > r.Value() || high < r.Value() {
				t.Fatalf("%d of %d: %v..%v", k, n, low, high)
			}
			if more, most := (backtest.Rate{Count: 2 * k, Of: 2 * n}).Interval(); most-more >= high-low {
				t.Fatalf("%d of %d: as wide with twice the trials", k, n)
			}
		}
	}
}

func TestARateIsWrittenWithItsInterval(t *testing.T) {
	for _, c := range []struct {
		rate       backtest.Rate
		text, json string
	}{
		{backtest.Rate{}, "unknown", `{"count":0,"of":0,"value":null,"low":null,"high":null}`},
		{
			backtest.Rate{Count: 1, Of: 2},
			"50 % (9.5 to 90.5 %)",
			`{"count":1,"of":2,"value":0.5,"low":0.09453120573423074,"high":0.9054687942657693}`,
		},
		{backtest.Rate{Count: 20, Of: 20}, "100 % (83.9 to 100 %)", ""},
		{backtest.Rate{Count: 3, Of: 373}, "0.80 % (0.27 to 2.3 %)", ""},
		{backtest.Rate{Count: 999, Of: 1000}, "99.90 % (99.44 to 99.98 %)", ""},
	} {
		data, err := json.Marshal(c.rate)
		if c.rate.String() != c.text || err != nil || c.json != "" && string(data) != c.json {
			t.Errorf("%s %s %v", c.rate, data, err)
		}
	}
}
