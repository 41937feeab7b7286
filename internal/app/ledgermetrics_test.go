package app

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"callscreen/internal/screen"
)

// Each reason is a series, 0 or not, and the other sums are what the calls counted.
func TestLedgersBecomeMetrics(t *testing.T) {
	m := &metrics{of: sources{policies: func() int { return 2 }}}
	ch := make(chan prometheus.Metric, 100)
	m.ledgers(ch, screen.Totals{Unrecorded: map[string]int64{"disk": 7, "late": 2}, Unclosed: 3, TakenOver: 4})
	close(ch)
	got := map[string]float64{}
	for metric := range ch {
		var v dto.Metric
		if err := metric.Write(&v); err != nil {
			t.Fatal(err)
		}
		name := strings.Split(metric.Desc().String(), `"`)[1]
		for _, l := range v.GetLabel() {
			name += " " + l.GetValue()
		}
		got[name] = v.GetCounter().GetValue() + v.GetGauge().GetValue()
	}
	want := map[string]float64{
		"callscreen_ledgers_unclosed":          3,
		"callscreen_sessions_taken_over_total": 4,
		"callscreen_policies_in_force":         2,
	}
	for _, reason := range unrecordedReasons {
		want["callscreen_packets_unrecorded_total "+string(reason)] = 0
	}
	want["callscreen_packets_unrecorded_total disk"], want["callscreen_packets_unrecorded_total late"] = 7, 2
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", slices.Sorted(maps.Keys(got)), want)
	}
}

func TestNodesWithDifferentPoliciesAreNamed(t *testing.T) {
	for _, c := range []struct {
		versions map[int64][]string
		want     string
	}{
		{map[int64][]string{3: {"node-a"}}, ""},
		{map[int64][]string{3: {"node-b", "node-a"}}, ""},
		{map[int64][]string{4: {"node-b"}, 3: {"node-c", "node-a"}}, "node-a by 3, node-c by 3, node-b by 4"},
	} {
		if got := disagreement(c.versions); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.versions, got, c.want)
		}
	}
}
