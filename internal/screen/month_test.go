package screen_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/screen/month"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// BenchmarkMonth runs the queries of the review API over a month of history: 100,000 calls with 1,000,000 segments. It
// reports the median of each in milliseconds.
func BenchmarkMonth(b *testing.B) {
	const calls, segments = 100_000, 10
	open := map[string]func(b *testing.B) store.Options{
		"SQLite": func(b *testing.B) store.Options { return store.Options{Dir: b.TempDir(), Owner: true} },
		"PostgreSQL": func(b *testing.B) store.Options {
			opt := store.Options{URL: storetest.StartPostgres(b).Database()}
			if err := store.Migrate(b.Context(), opt); err != nil {
				b.Fatal(err)
			}
			return opt
		},
	}
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(b.Context(), open[name](b))
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			month.Fill(b, s, calls, segments)
			desk := screen.NewDecider(screen.DeciderConfig{Store: s})
			for query, ask := range queries(b, s, desk) {
				b.Run(query, func(b *testing.B) {
					var took []time.Duration
					for b.Loop() {
						start := time.Now()
						if err := ask(b.Context()); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(start))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
					b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "p90-ms")
				})
			}
		})
	}
}

// queries returns the queries of the lists, the filters, the search and the page of a call.
func queries(b *testing.B, s *store.Store, desk *screen.Decider) map[string]func(context.Context) error {
	first, next, err := s.Calls(b.Context(), store.Filter{Limit: 100})
	if err != nil || next == nil {
		b.Fatal(next, err)
	}
	deep := *next
	deep.StartedMS -= 10 * 24 * time.Hour.Milliseconds()
	lists := map[string]store.Filter{
		"list":               {},
		"list/deep":          {Before: &deep},
		"flagged":            {Decision: "flagged"},
		"inconclusive-ended": {Decision: "inconclusive", State: store.CallEnded},
		"live":               {State: store.CallLive},
		"waiting": {
			Review: store.ReviewWaiting,
		},
		"search/common":       {Query: "payments"},
		"search/one-number":   {Query: first[50].Metadata["from"]},
		"search/none":         {Query: "nobody has this"},
		"search/flagged-none": {Query: "nobody has this", Decision: "flagged"},
	}
	all := map[string]func(context.Context) error{}
	for name, f := range lists {
		f.Limit = 100
		all[name] = func(ctx context.Context) error { _, _, err := desk.Reports(ctx, f); return err }
	}
	n := 0
	all["call"] = func(ctx context.Context) error {
		n++
		_, err := desk.Report(ctx, first[n%len(first)].ID)
		return err
	}
	all["counts"] = func(ctx context.Context) error { _, err := s.CountCalls(ctx, 10_000); return err }
	all["backlog"] = func(ctx context.Context) error {
		if l, err := s.Backlog(ctx); err != nil || l.Recorded != 0 {
			return fmt.Errorf("%+v %w", l, err)
		}
		return nil
	}
	return all
}
