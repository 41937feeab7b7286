package app_test

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"callscreen/analyzer/simulator"
	"callscreen/internal/config"
	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// families are the metrics that a sidecar shows, by name.
type families map[string]*dto.MetricFamily

// scrape reads /metrics as Prometheus does.
func (s *sidecar) scrape() families {
	s.t.Helper()
	a, text := s.ask("GET", "/metrics", "", "")
	if a.status != http.StatusOK {
		s.t.Fatalf("HTTP %d", a.status)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, p := range problems {
		s.t.Errorf("%s: %s", p.Metric, p.Text)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	all, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	return all
}

// value adds up the samples that have the labels, given as name, value, name, value: counts of histograms too. It is NaN if
// there is none.
func (f families) value(name string, labels ...string) float64 {
	sum := math.NaN()
	for _, m := range f[name].GetMetric() {
		if !has(m, labels) {
			continue
		}
		if math.IsNaN(sum) {
			sum = 0
		}
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	return sum
}

func has(m *dto.Metric, labels []string) bool {
	for i := 0; i+1 < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// After a call the metrics say what has happened, under names as Prometheus wants them, and no label tells of a call.
func TestMetricsSayWhatHappened(t *testing.T) {
	t.Parallel()
	s := newSidecar(t, simulator.Script{Latency: 100 * time.Millisecond, Rules: []simulator.Rule{
		{Match: simulator.Match{Every: 1}, Submit: &simulator.Answer{Status: 503, Times: 1}},
	}}, nil, func(c *config.Config) { c.Retention.Flagged = time.Hour })
	if sum, _ := s.play(t.Context(), demo.Synthetic, "call-4930", "caller", 12, publish.Impairment{}); sum.Err() != nil {
		t.Fatal(sum.Err())
	}
	s.ended("call-4930")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	// A flagged call is decided before its last segment is.
	r, err := s.app.Wait(ctx, "call-4930", func(r report.CallReport) bool {
		return !slices.ContainsFunc(r.Segments, func(g report.SegmentReport) bool {
			return g.State == store.SegmentRecorded || g.State == store.SegmentSubmitted
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	f := s.scrape()
	scored, speech, analysed := 0.0, time.Duration(r.Speech).Seconds(), time.Duration(r.Analysed).Seconds()
	for _, g := range r.Segments {
		if g.State == "scored" {
			scored++
		}
	}
	uploads := float64(len(s.stand.Uploads()))
	if scored == 0 || analysed == 0 || uploads < scored {
		t.Fatalf("%+v", r)
	}
	refused := f.value("callscreen_analysis_errors_total", "op", "submit", "kind", "unavailable")
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"callscreen_build_info", []string{"version", "1.2.3"}, 1},
		{"callscreen_ready", nil, 1},
		{"callscreen_packets_received_total", nil, math.Round(time.Duration(r.Duration).Seconds() * 50)}, // 20 ms each
		{"callscreen_speech_seconds_total", nil, speech},
		{"callscreen_analysed_seconds_total", nil, analysed},
		{"callscreen_segments_recorded_total", []string{"outcome", "kept"}, scored},
		{"callscreen_segments_recorded_total", []string{"outcome", "lost"}, 0},
		{"callscreen_segments_settled_total", []string{"state", "scored"}, scored},
		{"callscreen_analysis_request_duration_seconds", []string{"op", "submit"}, scored + refused},
		{"callscreen_analysis_polls_per_job", nil, scored},
		{"callscreen_analysis_detection_delay_seconds", nil, scored},
		{"callscreen_analysis_errors_total", []string{"kind", "unauthorized"}, 0},
		{"callscreen_analysis_resends_total", nil, 0},
		{"callscreen_analysis_breaker_open", nil, 0},
		{"callscreen_analysis_account_refused", nil, 0},
		{"callscreen_analysis_errors_total", []string{"kind", "no_credit"}, 0},
		{"callscreen_segments_held", nil, 0},
		{"callscreen_decisions_total", []string{"decision", "flagged"}, 1},
		{"callscreen_decisions_total", []string{"decision", "clear"}, 0},
		{"callscreen_decision_delay_seconds", nil, 1},
		{"callscreen_backlog_segments", nil, 0},
		{"callscreen_spool_undeliverable_seconds", nil, 0},
		{"callscreen_udp_receive_drops_total", nil, 0},
		{"callscreen_packets_unrecorded_total", nil, 0},
		{"callscreen_packets_unrecorded_total", []string{"reason", "leg_busy"}, 0},
		{"callscreen_ledgers_unclosed", nil, 0},
		{"callscreen_sessions_taken_over_total", nil, 0},
		{"callscreen_policies_in_force", nil, 1},
		{"callscreen_audit_head", nil, 1}, // the policy
		{"callscreen_retention_stuck", []string{"kind", "audio"}, 0},
		{"callscreen_retention_stuck", []string{"kind", "webhook"}, 0},
		{"callscreen_event_listeners", nil, 0},
		{"callscreen_database_up", nil, 1},
	} {
		if got := f.value(c.name, c.labels...); math.IsNaN(got) || math.Abs(got-c.want) > 0.01 {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if refused < 1 {
		t.Errorf("%v uploads were refused, want at least 1", refused)
	}
	if polls := f["callscreen_analysis_polls_per_job"].GetMetric()[0].GetHistogram().GetSampleSum(); polls < scored ||
		polls != f.value("callscreen_analysis_request_duration_seconds", "op", "poll") {
		t.Errorf("%v polls of %v jobs, %v requests", polls, scored, f.value("callscreen_analysis_request_duration_seconds", "op", "poll"))
	}
	if delay := f["callscreen_decision_delay_seconds"].GetMetric()[0].GetHistogram().GetSampleSum(); delay < 3 || delay > 60 {
		t.Errorf("decided %v s after the first speech", delay)
	}
	for name, family := range f {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), "4930") || strings.Contains(l.GetValue(), r.Segments[0].ID) {
					t.Errorf("%s has the label %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}
