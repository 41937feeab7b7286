package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

// manyCalls fills a database: half of the calls wait for review, and a tenth could not be screened.
func manyCalls(t testing.TB, s *store.Store, calls int) {
	t.Helper()
	ctx, begun := context.Background(), time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if err := s.InTx(ctx, func(tx *store.Tx) error {
		for i := range calls {
			id := fmt.Sprintf("call-%06d", i)
			c, err := tx.Begin(ctx, store.Part{
				PartKey: store.PartKey{Call: id, Part: begun.Add(time.Duration(i) * time.Second).UnixMilli(), Node: "n"},
			})
			if err != nil {
				return err
			}
			c.State, c.Final, c.Decision = store.CallEnded, true, "clear"
			if i%2 == 0 {
				c.Decision = "flagged"
				if err := tx.OpenReview(ctx, id, begun); err != nil {
					return err
				}
			}
			if i%10 == 1 {
				c.Decision = "inconclusive"
			}
			if err := tx.SaveCall(ctx, &c); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Analyze(ctx); err != nil {
		t.Fatal(err)
	}
}

// A list is read from an index in its order: nothing is sorted, and no more rows are read than shown.
func TestListsAreIndexed(t *testing.T) {
	check := func(t *testing.T, s *store.Store, want map[string]string, sorting string) {
		manyCalls(t, s, 3000)
		middle := &store.Cursor{StartedMS: time.Date(2026, 3, 1, 12, 20, 0, 0, time.UTC).UnixMilli(), ID: "call"}
		for name, f := range map[string]store.Filter{
			"all":                 {},
			"all, further on":     {Before: middle},
			"waiting":             {Review: store.ReviewWaiting},
			"waiting, further on": {Review: store.ReviewWaiting, Before: middle},
			"unscreened":          {Unscreened: true},
			"live":                {State: store.CallLive},
			"flagged":             {Decision: "flagged"},
		} {
			plan, err := s.Plan(t.Context(), f)
			kind, _, _ := strings.Cut(name, ",")
			if err != nil || !strings.Contains(plan, want[kind]) || strings.Contains(plan, sorting) {
				t.Errorf("%s: %v\n%s", name, err, plan)
			}
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		check(
			t,
			open(t, store.Options{Dir: t.TempDir(), Owner: true}),
			map[string]string{
				"all":        "INDEX call_started",
				"waiting":    "INDEX call_review",
				"unscreened": "INDEX call_decision",
				"live":       "INDEX call_state",
				"flagged":    "INDEX call_decision",
			},
			"TEMP B-TREE",
		)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		url := storetest.StartPostgres(t).Database()
		if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
			t.Fatal(err)
		}
		// If half of all calls match, a scan is as good.
		check(
			t,
			open(t, store.Options{URL: url, MaxConns: 2}),
			map[string]string{
				"all":        "using call_started",
				"waiting":    "Index Scan",
				"unscreened": "Index Scan",
				"live":       "Index Scan",
				"flagged":    "Index Scan",
			},
			"Sort",
		)
	})
}
