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

// Meter counts what happens, where it happens. What must be built before the app can tell it too: the client of the API.
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

// NewMeter makes a meter that stands at zero.
func NewMeter() *Meter {
	m := &Meter{}
	m.requests = keep(m, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "callscreen_analysis_request_duration_seconds",
		Help:    "How long requests to the analysis API took, of uploads (submit) and of questions about a job (poll).",
		Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20},
	}, []string{"op"}))
	m.errors = keep(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callscreen_analysis_errors_total",
		Help: "Requests to the analysis API that came to nothing, by what was wrong. Those that are not even sent, because the key was refused, are among them."}, []string{
		"op",
		"kind",
	}))
	m.resends = keep(m, prometheus.NewCounter(prometheus.CounterOpts{Name: "callscreen_analysis_resends_total",
		Help: "Uploads that repeated one of which it was not known whether the API had taken it. They may be paid for twice."}))
	m.polls = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "callscreen_analysis_polls_per_job",
		Help:    "Questions that were asked about a job, within the 20 s or less in which it was found to be finished.",
		Buckets: []float64{1, 2, 3, 4, 5, 7, 10, 15, 20},
	}))
	m.gap = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callscreen_analysis_detection_delay_seconds",
		Help:    "Time between the last answer that a job is not finished, or the begin of the asking, and the answer that it is. The API does not say when a job finished; its result was known at most so late.",
		Buckets: []float64{.1, .25, .5, 1, 1.5, 2, 3, 4, 6, 10}}))
	m.delay = keep(m, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "callscreen_decision_delay_seconds",
		Help:    "Time from the begin of the first segment of a call that holds speech to the first decision that was announced: a flag, or what is known at the end of the call. The length of the call is part of it.",
		Buckets: []float64{5, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600, 14400}}))
	m.decisions = keep(
		m,
		prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "callscreen_decisions_total", Help: "Decisions that were announced by this node."},
			[]string{"decision"},
		),
	)
	m.recorded = keep(m, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callscreen_segments_recorded_total",
		Help: "Segments that were cut: kept for the analysis, skipped as not worth one, or lost because they could not be kept."}, []string{
		"outcome",
	}))
	m.settled = keep(
		m,
		prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "callscreen_segments_settled_total", Help: "Segments that have a score or have failed."},
			[]string{"state", "reason"},
		),
	)
	m.speech = keep(
		m,
		prometheus.NewCounter(
			prometheus.CounterOpts{Name: "callscreen_speech_seconds_total", Help: "Speech in all segments that were cut, without the pauses."},
		),
	)
	m.analysed = keep(
		m,
		prometheus.NewCounter(prometheus.CounterOpts{Name: "callscreen_analysed_seconds_total", Help: "Speech in segments that got a score."}),
	)
	// What has not happened yet counts as 0, so that a first time can be seen as an increase.
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

// The errors that a request to the API can come to.
var kinds = []analyzer.Kind{
	analyzer.KindNetwork,
	analyzer.KindUnavailable,
	analyzer.KindRateLimited,
	analyzer.KindUnauthorized,
	analyzer.KindRejected,
	analyzer.KindTooLarge,
	analyzer.KindInDoubt,
	analyzer.KindJobNotFound,
	analyzer.KindInvalidAnswer,
	analyzer.KindUnreadable,
}

// What becomes of a segment when it is cut.
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

// step counts what the screening does.
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

// settle counts a segment that is settled. Reasons are those of package analyzer, and bounded.
func (m *Meter) settle(s report.SegmentReport) {
	m.settled.WithLabelValues(s.State, s.Reason).Inc()
	if s.State == store.SegmentScored {
		m.analysed.Add(time.Duration(s.Speech).Seconds())
	}
}

// counting is a book that counts what is written into it.
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
