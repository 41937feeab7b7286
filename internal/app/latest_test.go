package app

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// A request gets the last value while a computation hangs, and only one computation runs.
func TestNoRequestWaitsForAComputationThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		takes, runs := time.Duration(0), 0
		l := newLatest(func() int {
			mu.Lock()
			runs++
			n, d := runs, takes
			mu.Unlock()
			time.Sleep(d)
			return n
		})
		set := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			takes = d
		}
		if v, at := l.get(); v != 1 || at.IsZero() {
			t.Errorf("%d, %v", v, at)
		}
		set(time.Minute)
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				start := time.Now()
				if v, at := l.get(); v != 1 || start.Sub(at) > time.Second || time.Since(start) > answersWithin {
					t.Errorf("%d of %v, after %v", v, at, time.Since(start))
				}
			})
		}
		all.Wait()
		mu.Lock()
		n := runs
		mu.Unlock()
		if n != 2 {
			t.Errorf("%d computations", n)
		}
		set(0)
		time.Sleep(2 * time.Minute)
		if v, at := l.get(); v != 3 || at != time.Now() {
			t.Errorf("%d of %v", v, at)
		}
	})
}

type hanging struct{ until chan struct{} }

func (h hanging) Gather() ([]*dto.MetricFamily, error) {
	<-h.until
	return nil, nil
}

// The first scrape of a program whose values hang is an error, and not an empty page.
func TestAScrapeWithoutValuesIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hanging{make(chan struct{})}
		g := newScrape(h)
		start := time.Now()
		if list, err := g.Gather(); err == nil || time.Since(start) > time.Second {
			t.Errorf("%v after %v", list, time.Since(start))
		}
		close(h.until)
		synctest.Wait()
		list, err := g.Gather()
		if err != nil || len(list) != 1 || list[0].GetName() != "callscreen_metrics_age_seconds" {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// The values of a registry pass unchanged.
func TestAScrapeHasTheValuesOfTheRegistry(t *testing.T) {
	r := prometheus.NewRegistry()
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "x", Help: "A counter."})
	r.MustRegister(c)
	c.Inc()
	list, err := newScrape(r).Gather()
	if err != nil || len(list) != 2 || list[1].GetName() != "x" || list[1].GetMetric()[0].GetCounter().GetValue() != 1 {
		t.Errorf("%v, %v", list, err)
	}
}
