package app

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"callscreen/capture"
	"callscreen/internal/screen"
)

// metrics are what /metrics shows. Labels are bounded: no call id and no number ever becomes one.
type metrics struct {
	registry *prometheus.Registry
	segments *prometheus.CounterVec
	app      *App
}

var (
	legsDesc      = prometheus.NewDesc("callscreen_legs_live", "Legs that are being recorded.", nil, nil)
	sessionsDesc  = prometheus.NewDesc("callscreen_whip_sessions", "WHIP sessions that are open.", nil, nil)
	openedDesc    = prometheus.NewDesc("callscreen_whip_sessions_opened_total", "WHIP sessions that were opened.", nil, nil)
	refusedDesc   = prometheus.NewDesc("callscreen_whip_requests_refused_total", "Requests for a session that were refused.", nil, nil)
	lostDesc      = prometheus.NewDesc("callscreen_whip_sessions_lost_total", "WHIP sessions that ended without a DELETE.", nil, nil)
	lenientDesc   = prometheus.NewDesc("callscreen_whip_preconditions_missing_total", "PATCH requests without If-Match that were let through.", nil, nil)
	packetsDesc   = prometheus.NewDesc("callscreen_packets_received_total", "RTP packets that came in.", nil, nil)
	missingDesc   = prometheus.NewDesc("callscreen_packets_lost_total", "RTP packets that never came, copies of them neither.", nil, nil)
	lateDesc      = prometheus.NewDesc("callscreen_packets_late_total", "RTP packets that came after their place was filled.", nil, nil)
	repairedDesc  = prometheus.NewDesc("callscreen_packets_repaired_total", "RTP packets that never came, but a copy of them did.", nil, nil)
	concealedDesc = prometheus.NewDesc("callscreen_concealed_seconds_total", "Audio that was made up for short losses.", nil, nil)
	droppedDesc   = prometheus.NewDesc("callscreen_segments_dropped_total", "Segments whose audio was let go of because the analysis was behind.", nil, nil)
)

func newMetrics(a *App) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), app: a,
		segments: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "callscreen_segments_settled_total", Help: "Segments that have a score or have failed."}, []string{"state", "reason"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "callscreen_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"go": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.segments, info, m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// settled counts a segment. Reasons are those of package analyzer, and bounded.
func (m *metrics) settled(s screen.SegmentReport) {
	m.segments.WithLabelValues(s.State, s.Reason).Inc()
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{legsDesc, sessionsDesc, openedDesc, refusedDesc, lostDesc, lenientDesc, packetsDesc, missingDesc, lateDesc, repairedDesc, concealedDesc, droppedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector: it asks the recorders, which count anyway.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	var legs, dropped float64
	var p capture.Stats
	concealed := 0.0
	m.app.live.Each(func(c *screen.LiveCall) {
		dropped += float64(c.Recorder().Dropped())
		for _, s := range c.Recorder().Stats() {
			if s.Recording {
				legs++
			}
			p.Received += s.Packets.Received
			p.Missing += s.Packets.Missing
			p.Late += s.Packets.Late
			p.Repaired += s.Packets.Repaired
			concealed += float64(s.Packets.Concealed) / float64(s.Rate)
		}
	})
	w := m.app.whip.Stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(legsDesc, legs)
	gauge(sessionsDesc, float64(w.Open))
	counter(openedDesc, float64(w.Opened))
	counter(refusedDesc, float64(w.Refused))
	counter(lostDesc, float64(w.Lost))
	counter(lenientDesc, float64(w.Lenient))
	counter(packetsDesc, float64(p.Received))
	counter(missingDesc, float64(p.Missing))
	counter(lateDesc, float64(p.Late))
	counter(repairedDesc, float64(p.Repaired))
	counter(concealedDesc, concealed)
	counter(droppedDesc, dropped)
}
