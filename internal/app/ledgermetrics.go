package app

import (
	"github.com/prometheus/client_golang/prometheus"

	"callscreen/capture"
	"callscreen/internal/screen"
)

var (
	unrecordedDesc = prometheus.NewDesc(
		"callscreen_packets_unrecorded_total",
		"RTP packets that arrived and were not recorded, by reason.",
		[]string{"reason"},
		nil,
	)
	unclosedDesc = prometheus.NewDesc(
		"callscreen_ledgers_unclosed",
		"Legs since the start whose ledger does not close: packets were not booked. A defect of callscreen.",
		nil,
		nil,
	)
	takenOverDesc = prometheus.NewDesc(
		"callscreen_sessions_taken_over_total",
		"Sessions ended because the same sender began another one for the leg.",
		nil,
		nil,
	)
	policiesDesc = prometheus.NewDesc(
		"callscreen_policies_in_force",
		"Different policies that the live nodes decide by. More than 1 is a mistake in the set-up.",
		nil,
		nil,
	)
)

// unrecordedReasons are those that are shown as 0 while no packet has them, so that their increase can be computed.
var unrecordedReasons = []capture.Reason{
	capture.UnrecordedLegBusy,
	capture.UnrecordedUnknownSSRC,
	capture.UnrecordedCodec,
	capture.UnrecordedMalformed,
	capture.UnrecordedOtherSource,
	capture.UnrecordedOverlap,
	capture.UnrecordedLate,
	capture.UnrecordedBacklog,
	capture.UnrecordedDisk,
}

// ledgers collects the values that come from the ledgers of the legs.
func (m *metrics) ledgers(ch chan<- prometheus.Metric, t screen.Totals) {
	packets := map[string]int64{}
	for _, r := range unrecordedReasons {
		packets[string(r)] = 0
	}
	for reason, n := range t.Unrecorded {
		packets[reason] += n
	}
	for reason, n := range packets {
		ch <- prometheus.MustNewConstMetric(unrecordedDesc, prometheus.CounterValue, float64(n), reason)
	}
	ch <- prometheus.MustNewConstMetric(unclosedDesc, prometheus.GaugeValue, float64(t.Unclosed))
	ch <- prometheus.MustNewConstMetric(takenOverDesc, prometheus.CounterValue, float64(t.TakenOver))
	ch <- prometheus.MustNewConstMetric(policiesDesc, prometheus.GaugeValue, float64(m.of.policies()))
}
