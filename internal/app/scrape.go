package app

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// scrape gathers metrics in bounded time. While a value cannot be read, as when the database hangs, it has the last values, and
// their age.
type scrape struct{ values *latest[gathered] }

type gathered struct {
	list []*dto.MetricFamily
	err  error
}

func newScrape(from prometheus.Gatherer) scrape {
	return scrape{newLatest(func() gathered {
		list, err := from.Gather()
		return gathered{list, err}
	})}
}

// Gather implements prometheus.Gatherer.
func (s scrape) Gather() ([]*dto.MetricFamily, error) {
	v, at := s.values.get()
	if at.IsZero() {
		return nil, errors.New("the metrics could not be read in time (hint: the database, the disk or the processor is too slow)")
	}
	age, kind := time.Since(at).Seconds(), dto.MetricType_GAUGE
	name, help := "callscreen_metrics_age_seconds", "Age of the values of this page. They are old while one of them cannot be read in time."
	own := &dto.MetricFamily{Name: &name, Help: &help, Type: &kind, Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: &age}}}}
	return append([]*dto.MetricFamily{own}, v.list...), v.err
}
