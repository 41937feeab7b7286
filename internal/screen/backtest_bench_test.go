package screen_test

import (
	"testing"

	"callscreen/internal/backtest"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// A month of 100,000 calls with 1,000,000 findings, decided anew from SQLite. It is promised within 5 s.
func BenchmarkBacktest(b *testing.B) {
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir(), Owner: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	storetest.Month(b, s, 100_000, 10)
	o := backtest.Options{Current: policy.Default(), New: policy.Default(), Show: 20}
	o.New.Threshold = 0.7
	b.ReportAllocs()
	for b.Loop() {
		r, err := screen.Backtest(b.Context(), s, store.Window{Readers: 2}, o)
		if err != nil || r.Findings != 1_000_000 || r.ChangedFromCurrent == 0 {
			b.Fatal(r.Findings, r.ChangedFromCurrent, err)
		}
	}
}
