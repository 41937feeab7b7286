package screen

import (
	"context"
	"iter"

	"callscreen/internal/backtest"
	"callscreen/internal/store"
)

// Past visits stored calls that have ended, in the form that a backtest decides.
func Past(ctx context.Context, s *store.Store, w store.Window) iter.Seq2[backtest.Call, error] {
	return func(yield func(backtest.Call, error) bool) {
		for p, err := range s.History(ctx, w) {
			if err != nil {
				yield(backtest.Call{}, err)
				return
			}
			facts, _ := Facts(&p.Call, p.Legs, p.Segments, true)
			c := backtest.Call{
				ID:          p.ID,
				Call:        facts.Call(),
				Simulated:   p.Simulated,
				Decision:    p.Decision,
				Review:      p.Review,
				Disposition: p.Hearing.Disposition,
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// Backtest returns what another policy would have decided about the stored calls of a time. It sends nothing to the API.
func Backtest(ctx context.Context, s *store.Store, w store.Window, o backtest.Options) (backtest.Result, error) {
	w.Read = store.ReadFindings
	return backtest.Run(Past(ctx, s, w), o)
}
