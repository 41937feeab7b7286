package app

import (
	"context"
	"errors"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"callscreen/internal/config"
	"callscreen/internal/limit"
	"callscreen/internal/review"
	"callscreen/internal/rtc"
	"callscreen/internal/screen"
	"callscreen/internal/spool"
	"callscreen/internal/store"
	"callscreen/internal/whip"
)

// metrics collects the values of /metrics. Labels are bounded: neither call ids nor numbers become labels.
type metrics struct {
	registry *prometheus.Registry
	of       sources
}

// sources are the components whose counters /metrics shows.
type sources struct {
	live      *screen.Live
	whip      *whip.Server
	worker    *screen.Worker
	review    *review.Server
	media     *rtc.Engine
	spool     *spool.Spool
	forwarder *screen.Forwarder
	hooks     *hooks
	store     *store.Store
	draining  func() bool
	auditHead func() store.Head
	stuck     func() map[string]int
	limited   *limit.Refusals
	policies  func() int       // different policies that the live nodes decide by
	webhooks  []config.Webhook // the ones that are configured, so that the labels are bounded
}

var (
	legsDesc     = prometheus.NewDesc("callscreen_legs_live", "Legs being recorded.", nil, nil)
	sessionsDesc = prometheus.NewDesc("callscreen_whip_sessions", "Open WHIP sessions.", nil, nil)
	openedDesc   = prometheus.NewDesc("callscreen_whip_sessions_opened_total", "WHIP sessions opened.", nil, nil)
	refusedDesc  = prometheus.NewDesc("callscreen_whip_requests_refused_total", "Refused requests for a WHIP session.", nil, nil)
	lostDesc     = prometheus.NewDesc("callscreen_whip_sessions_lost_total", "WHIP sessions that ended without a DELETE.", nil, nil)
	limitedDesc  = prometheus.NewDesc(
		"callscreen_clients_limited_total",
		"Connections and requests refused because their client had as many as it may, by limit.",
		[]string{"limit"},
		nil,
	)
	lenientDesc = prometheus.NewDesc(
		"callscreen_whip_preconditions_missing_total",
		"PATCH requests accepted without If-Match.",
		nil,
		nil,
	)
	packetsDesc  = prometheus.NewDesc("callscreen_packets_received_total", "RTP packets received.", nil, nil)
	missingDesc  = prometheus.NewDesc("callscreen_packets_lost_total", "RTP packets that never arrived, nor a copy of them.", nil, nil)
	lateDesc     = prometheus.NewDesc("callscreen_packets_late_total", "RTP packets that arrived too late.", nil, nil)
	repairedDesc = prometheus.NewDesc(
		"callscreen_packets_repaired_total",
		"RTP packets that never arrived, replaced by a copy.",
		nil,
		nil,
	)
	concealedDesc = prometheus.NewDesc("callscreen_concealed_seconds_total", "Audio concealed for short losses.", nil, nil)
	breakerDesc   = prometheus.NewDesc(
		"callscreen_analysis_breaker_open",
		"1 while submissions are suspended because the API failed several times in a row.",
		nil,
		nil,
	)
	auditDesc = prometheus.NewDesc(
		"callscreen_audit_head",
		"Number of the last line of the audit log a minute ago, by its hash.",
		[]string{"hash"},
		nil,
	)
	accountDesc = prometheus.NewDesc(
		"callscreen_analysis_account_refused",
		"1 while the analysis API rejects the key, or the account has no credit.",
		nil,
		nil,
	)
	heldDesc = prometheus.NewDesc(
		"callscreen_segments_held",
		"Segments that wait for a person, because the outcome of their uploads is unknown. They are not in the backlog.",
		nil,
		nil,
	)
	stuckDesc = prometheus.NewDesc(
		"callscreen_retention_stuck",
		"Data that retention or an erasure could not delete by the last sweep, by kind. Of all nodes, except database and spool.",
		[]string{"kind"},
		nil,
	)
	backlogDesc = prometheus.NewDesc(
		"callscreen_backlog_segments",
		"Segments without a result, of all nodes.",
		[]string{"state"},
		nil,
	)
	oldestDesc = prometheus.NewDesc(
		"callscreen_backlog_oldest_seconds",
		"Age of the oldest segment without a result.",
		nil,
		nil,
	)
	spoolEntriesDesc = prometheus.NewDesc(
		"callscreen_spool_entries",
		"Entries of the spool, waiting for the database or the audio store.",
		nil,
		nil,
	)
	spoolBytesDesc = prometheus.NewDesc("callscreen_spool_bytes", "Size of the spool.", nil, nil)
	spoolFreeDesc  = prometheus.NewDesc("callscreen_spool_free_bytes", "Free space on the disk of the spool.", nil, nil)
	hooksDesc      = prometheus.NewDesc(
		"callscreen_webhook_attempts_total",
		"Attempts to deliver webhook messages, and messages given up.",
		[]string{"outcome"},
		nil,
	)
	outboxDesc = prometheus.NewDesc(
		"callscreen_webhook_messages",
		"Webhook messages that are pending or given up.",
		[]string{"endpoint", "state"},
		nil,
	)
	databaseDesc    = prometheus.NewDesc("callscreen_database_up", "1 if the database answers.", nil, nil)
	readyDesc       = prometheus.NewDesc("callscreen_ready", "1 while new calls are accepted.", nil, nil)
	undeliveredDesc = prometheus.NewDesc(
		"callscreen_spool_undeliverable_seconds",
		"Time since delivery from the spool to the database or the audio store began to fail; 0 if it works.",
		nil,
		nil,
	)
	overflowDesc = prometheus.NewDesc(
		"callscreen_udp_receive_drops_total",
		"Media packets dropped by the kernel because the receive buffer was full. Absent where the system does not report it.",
		nil,
		nil,
	)
	listenersDesc = prometheus.NewDesc("callscreen_event_listeners", "Clients of the event stream.", nil, nil)
	tamperedDesc  = prometheus.NewDesc(
		"callscreen_audio_refused_total",
		"Stored audio that was neither analysed nor played, because it is not what was recorded.",
		nil,
		nil,
	)
	droppedDesc = prometheus.NewDesc(
		"callscreen_segments_dropped_total",
		"Segments whose audio was dropped because storing it was too slow.",
		nil,
		nil,
	)
)

func newMetrics(version string, meter *Meter, of sources) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), of: of}
	info := prometheus.NewGauge(
		prometheus.GaugeOpts{
			Name:        "callscreen_build_info",
			Help:        "Always 1. The labels name the version.",
			ConstLabels: prometheus.Labels{"go": runtime.Version(), "version": version},
		},
	)
	info.Set(1)
	m.registry.MustRegister(meter.all...)
	m.registry.MustRegister(info, m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		legsDesc,
		sessionsDesc,
		openedDesc,
		refusedDesc,
		lostDesc,
		lenientDesc,
		packetsDesc,
		missingDesc,
		lateDesc,
		repairedDesc,
		concealedDesc,
		droppedDesc,
		tamperedDesc,
		breakerDesc,
		accountDesc,
		heldDesc,
		backlogDesc,
		oldestDesc,
		spoolEntriesDesc,
		spoolBytesDesc,
		spoolFreeDesc,
		hooksDesc,
		outboxDesc,
		databaseDesc,
		listenersDesc,
		readyDesc,
		undeliveredDesc,
		overflowDesc,
		unrecordedDesc,
		unclosedDesc,
		takenOverDesc,
		policiesDesc,
		auditDesc,
		stuckDesc,
		limitedDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	t := m.of.live.Totals()
	p := t.Packets
	w := m.of.whip.Stats()
	gauge := func(d *prometheus.Desc, v float64) { ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v)
	}
	gauge(legsDesc, float64(t.Legs))
	gauge(sessionsDesc, float64(w.Open))
	counter(openedDesc, float64(w.Opened))
	counter(refusedDesc, float64(w.Refused))
	counter(lostDesc, float64(w.Lost))
	counter(lenientDesc, float64(w.Lenient))
	for name, n := range m.of.limited.Counts() {
		ch <- prometheus.MustNewConstMetric(limitedDesc, prometheus.CounterValue, float64(n), string(name))
	}
	counter(packetsDesc, float64(p.Received))
	counter(missingDesc, float64(p.Missing))
	counter(lateDesc, float64(p.Late))
	counter(repairedDesc, float64(p.Repaired))
	counter(concealedDesc, t.Concealed.Seconds())
	counter(droppedDesc, float64(t.Dropped))
	counter(tamperedDesc, float64(m.of.worker.Refused()+m.of.review.Refused()))
	m.ledgers(ch, t)
	head := m.of.auditHead()
	ch <- prometheus.MustNewConstMetric(auditDesc, prometheus.GaugeValue, float64(head.Seq), head.Hash)
	for kind, n := range m.of.stuck() {
		ch <- prometheus.MustNewConstMetric(stuckDesc, prometheus.GaugeValue, float64(n), kind)
	}
	open := 0.0
	if m.of.worker.BreakerOpen() {
		open = 1
	}
	gauge(breakerDesc, open)
	refused := 0.0
	if m.of.worker.AccountFault() != "" {
		refused = 1
	}
	gauge(accountDesc, refused)
	gauge(listenersDesc, float64(m.of.review.Listening()))
	if drops, err := m.of.media.Drops(); err == nil {
		counter(overflowDesc, float64(drops))
	}
	taken := 0.0
	if !m.of.draining() && m.of.spool.Room() == nil {
		taken = 1
	}
	gauge(readyDesc, taken)
	stuck := 0.0
	if _, since := m.of.forwarder.Waiting(); !since.IsZero() {
		stuck = max(time.Since(since).Seconds(), 0)
	}
	gauge(undeliveredDesc, stuck)
	sp := m.of.spool.Stats()
	gauge(spoolEntriesDesc, float64(sp.Entries))
	gauge(spoolBytesDesc, float64(sp.Bytes))
	if sp.Free >= 0 {
		gauge(spoolFreeDesc, float64(sp.Free))
	}
	delivered, failed, dead := m.of.hooks.counts()
	for outcome, n := range map[string]int64{"delivered": delivered, "failed": failed, "given_up": dead} {
		ch <- prometheus.MustNewConstMetric(hooksDesc, prometheus.CounterValue, float64(n), outcome)
	}
	m.database(ch, gauge)
}

// database collects the values of all nodes. While the database does not answer they are missing, and callscreen_database_up
// is 0.
func (m *metrics) database(ch chan<- prometheus.Metric, gauge func(*prometheus.Desc, float64)) {
	ctx, cancel := context.WithTimeout(context.Background(), databaseAnswers)
	defer cancel()
	b, err := m.of.store.Backlog(ctx)
	counts, e := m.of.store.DeliveryCounts(ctx)
	if errors.Join(err, e) != nil {
		gauge(databaseDesc, 0)
		return
	}
	gauge(databaseDesc, 1)
	ch <- prometheus.MustNewConstMetric(backlogDesc, prometheus.GaugeValue, float64(b.Recorded), store.SegmentRecorded)
	ch <- prometheus.MustNewConstMetric(backlogDesc, prometheus.GaugeValue, float64(b.Submitted), store.SegmentSubmitted)
	gauge(heldDesc, float64(b.Held))
	age := 0.0
	if !b.Oldest.IsZero() {
		age = max(time.Since(b.Oldest).Seconds(), 0)
	}
	gauge(oldestDesc, age)
	for _, e := range m.of.webhooks {
		for _, state := range []string{store.DeliveryPending, store.DeliveryDead} {
			ch <- prometheus.MustNewConstMetric(outboxDesc, prometheus.GaugeValue, float64(counts[[2]string{e.Name, state}]), e.Name, state)
		}
	}
}
