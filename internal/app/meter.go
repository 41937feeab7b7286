package app

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"callscreen/analyzer"
	"callscreen/capture"
	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// Meter holds the metrics that are counted as things happen. The client of the API, which is built before the app,
// reports to it too.
type Meter struct {
	all       []prometheus.Collector
	requests  *prometheus.HistogramVec
	errors    *prometheus.CounterVec
	resends   prometheus.Counter
	polls     prometheus.Histogram
	gap       prometheus.Histogram
	delay     prometheus.Histogram
	decisions *prometheus.CounterVec
	recorded  *prometheus.CounterVec
	settled   *prometheus.CounterVec
	speech    prometheus.Counter
	analysed  prometheus.Counter
}

// NewMeter returns a Meter with all counts at 0.
func NewMeter() *Meter {
	m := &Meter{}
	m.requests = keep(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "callscreen_analysis_request_duration_seconds",
		Help:    "Duration of requests to the analysis API: uploads (submit) and polls of a job (poll).",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"op"}))
	m.errors = keep(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callscreen_analysis_errors_total",
		Help: "Failed requests to the analysis API by kind of error, including those not sent because the key was refused."}, []string{
		"op",
		"kind",
	}))
	m.resends = keep(m, prometheus.NewCounter(prometheus.CounterOpts{Name: "callscreen_analysis_resends_total",
		Help: "Repeated uploads after one of unknown outcome. They may be paid for twice."}))
	m.polls = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "callscreen_analysis_polls_per_job",
		Help:    "Polls of a job within the run of at most 20 s that found it finished.",
		Buckets: []float64{1, 2, 3, 4, 5, 7, 10, 15, 20},
	}))
	m.gap = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callscreen_analysis_detection_delay_seconds",
		Help: "Time between the last poll of an unfinished job, or the first poll, and the poll that found it finished: the longest " +
			"delay until its result was known. The API does not report when a job finished.",
		Buckets: []float64{.1, .25, .5, 1, 1.5, 2, 3, 4, 6, 10}}))
	m.delay = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callscreen_decision_delay_seconds",
		Help: "Time from the start of the first segment with speech to the first announced decision of a call, which is a flag or " +
			"the decision at its end. It includes the length of the call.",
		Buckets: []float64{5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400}}))
	m.decisions = keep(
		m,
		prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "callscreen_decisions_total", Help: "Decisions announced by this node."},
			[]string{"decision"},
		),
	)
	m.recorded = keep(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callscreen_segments_recorded_total",
		Help: "Segments cut: kept for analysis, skipped, or lost because they could not be stored."}, []string{
		"outcome",
	}))
	m.settled = keep(
		m,
		prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "callscreen_segments_settled_total", Help: "Segments that are scored or failed."},
			[]string{"state", "reason"},
		),
	)
	m.speech = keep(
		m,
		prometheus.NewCounter(
			prometheus.CounterOpts{Name: "callscreen_speech_seconds_total", Help: "Net speech in all segments."},
		),
	)
	m.analysed = keep(
		m,
		prometheus.NewCounter(prometheus.CounterOpts{Name: "callscreen_analysed_seconds_total", Help: "Net speech in scored segments."}),
	)
	// Series exist from the start, so that a first event shows as an increase.
	for _, op := range []string{"submit", "poll"} {
		m.requests.WithLabelValues(op)
		for _, kind := range kinds {
			m.errors.WithLabelValues(op, string(kind))
		}
	}
	for _, decision := range []string{"flagged", "clear", "inconclusive"} {
		m.decisions.WithLabelValues(decision)
	}
	for _, outcome := range []string{kept, skipped, lost} {
		m.recorded.WithLabelValues(outcome)
	}
	m.settled.WithLabelValues(store.SegmentScored, "")
	return m
}

// The kinds of errors of a request to the API.
var kinds = []analyzer.Kind{
	analyzer.KindNetwork,
	analyzer.KindUnavailable,
	analyzer.KindRateLimited,
	analyzer.KindUnauthorized,
	analyzer.KindNoCredit,
	analyzer.KindRejected,
	analyzer.KindTooLarge,
	analyzer.KindInDoubt,
	analyzer.KindJobNotFound,
	analyzer.KindInvalidAnswer,
	analyzer.KindUnreadable,
}

// The outcomes of a cut.
const (
	kept    = "kept"
	skipped = "skipped"
	lost    = "lost"
)

func keep[C prometheus.Collector](m *Meter, c C) C {
	m.all = append(m.all, c)
	return c
}

// Request counts a request to the analysis API. It fits analyzer.Options.Observe.
func (m *Meter) Request(e analyzer.Event) {
	m.requests.WithLabelValues(e.Op).Observe(e.Took.Seconds())
	if e.Err != nil {
		m.errors.WithLabelValues(e.Op, string(e.Err.Kind)).Inc()
	}
}

// step counts a step of the pipeline.
func (m *Meter) step(s screen.Step) {
	switch {
	case s.Name == screen.StepSubmit && s.Resend:
		m.resends.Inc()
	case s.Name == screen.StepPoll && s.Done:
		m.polls.Observe(float64(s.Polls))
		m.gap.Observe(s.Gap.Seconds())
	case s.Name == screen.StepDecide:
		m.decisions.WithLabelValues(s.Decision).Inc()
		if s.First && !s.Heard.IsZero() {
			m.delay.Observe(max(s.End.Sub(s.Heard), 0).Seconds())
		}
	}
}

// settle counts a settled segment. Reasons are those of package analyzer and bounded.
func (m *Meter) settle(s report.SegmentReport) {
	m.settled.WithLabelValues(s.State, s.Reason).Inc()
	if s.State == store.SegmentScored {
		m.analysed.Add(time.Duration(s.Speech).Seconds())
	}
}

// counting is a Book that counts what it stores.
type counting struct {
	screen.Book
	meter *Meter
}

// Take implements screen.Book.
func (c counting) Take(p store.Part, seg capture.LegSegment) error {
	err := c.Book.Take(p, seg)
	outcome := kept
	switch {
	case err != nil || seg.Skipped == capture.ReasonBacklog:
		outcome = lost
	case seg.Skipped != "":
		outcome = skipped
	}
	c.meter.recorded.WithLabelValues(outcome).Inc()
	c.meter.speech.Add(seg.SpeechDuration().Seconds())
	return err
}
