package screen_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"callscreen/internal/backtest"
	"callscreen/internal/screen"
	"callscreen/internal/screen/month"
	"callscreen/internal/store"
	"callscreen/policy"
)

func TestFindingsAreInTheWordsOfThePolicy(t *testing.T) {
	score := 0.7
	segments := []store.SegmentRow{
		{Leg: "caller", Speech: time.Second, State: store.SegmentScored, Score: &score},
		{
			Leg:    "caller",
			Seq:    1,
			Speech: time.Second,
			State:  store.SegmentSkipped,
			Reason: "too_quiet",
		},
		{Leg: "agent", Speech: time.Second, State: store.SegmentFailed, Reason: "timeout"},
		{Leg: "caller", Seq: 2, State: store.SegmentSubmitted},
		{Leg: "caller", Seq: 3, State: store.SegmentRecorded},
	}
	want := []policy.Finding{
		{
			Leg:    "caller",
			Seq:    0,
			Speech: time.Second,
			State:  policy.Scored,
			Score:  0.7,
		},
		{
			Leg:    "caller",
			Seq:    -1,
			Speech: time.Second,
			State:  policy.Skipped,
			Reason: "too_quiet",
		}, // it has no position among the counted segments
		{
			Leg:    "agent",
			Seq:    0,
			Speech: time.Second,
			State:  policy.Failed,
			Reason: "timeout",
		},
		{Leg: "caller", Seq: 1, State: policy.Pending},
		{Leg: "caller", Seq: 2, State: policy.Pending},
	}
	if got, open := screen.Findings(segments, true); !reflect.DeepEqual(got, want) || open != 2 {
		t.Errorf("%+v %d", got, open)
	}
	if got, open := screen.Findings(segments, false); !reflect.DeepEqual(got, want[:3]) || open != 2 {
		t.Errorf("during the call: %+v %d", got, open)
	}
	lost, _ := screen.Findings([]store.SegmentRow{{Leg: "caller", Speech: 9 * time.Second, State: store.SegmentScored}}, true)
	if d := policy.Default().Decide(lost, nil); d.Outcome != policy.OutcomeInconclusive || d.Reasons[0] != policy.ReasonInvalidScore {
		t.Errorf("with a missing score: %+v", d)
	}
}

func monthOf(tb testing.TB, calls, segments int) *store.Store {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := store.Open(ctx, store.Options{Dir: tb.TempDir(), Owner: true})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	month.Fill(tb, s, calls, segments)
	return s
}

// The backtest decides each call as the policy does over the segments of the call, which the test reads by another query.
func TestABacktestDecidesAsThePolicyDoes(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s := monthOf(t, 700, 7)
	half, two := 0.3, 2
	o := backtest.Options{Current: policy.Default(), New: policy.Default(), Show: 1000}
	o.New.Threshold, o.New.Of, o.New.OnUnscreened = 0.75, 3, policy.Clear
	o.New.Overrides = []policy.Override{
		{Metadata: map[string]string{"queue": "payments"}, Threshold: &half},
		{Leg: "caller", Metadata: map[string]string{"queue": "sales"}, Need: &two},
	}
	if err := o.New.Validate(); err != nil {
		t.Fatal(err)
	}
	for _, w := range []store.Window{
		{},
		{Readers: 2},
		{From: month.Start.AddDate(0, 0, 7), To: month.End.AddDate(0, 0, -7)},
	} {
		r, err := screen.Backtest(ctx, s, w, o)
		if err != nil {
			t.Fatal(err)
		}
		decided, current, proposed, changes, n := map[string]int{}, map[string]int{}, map[string]int{}, []backtest.Change{}, 0
		for p, err := range s.History(ctx, store.Window{From: w.From, To: w.To, Read: store.ReadCalls}) {
			if err != nil {
				t.Fatal(err)
			}
			segments, err := s.Segments(ctx, p.ID)
			if err != nil {
				t.Fatal(err)
			}
			findings, _ := screen.Findings(segments, true)
			was, is := o.Current.Decide(findings, p.Metadata).Outcome.String(), o.New.Decide(findings, p.Metadata).Outcome.String()
			n++
			decided[p.Decision]++
			current[was]++
			proposed[is]++
			if is != p.Decision {
				changes = append(changes, backtest.Change{
					Call:        p.ID,
					From:        p.Decision,
					Current:     was,
					To:          is,
					Disposition: p.Hearing.Disposition,
				})
			}
		}
		for _, c := range []struct {
			got  backtest.Outcomes
			want map[string]int
		}{{r.Decided, decided}, {r.Current.Outcomes, current}, {r.New.Outcomes, proposed}} {
			if c.got.Flagged != c.want["flagged"] || c.got.Clear != c.want["clear"] || c.got.Inconclusive != c.want["inconclusive"] {
				t.Errorf("%+v: got %+v, want %v", w, c.got, c.want)
			}
		}
		if r.Calls != n || r.Findings != 7*n || !reflect.DeepEqual(r.Changes, changes) || r.Changed != len(changes) || len(changes) < 5 {
			t.Errorf("%+v: %d calls, %d findings, %d changes, want %d and %d", w, r.Calls, r.Findings, r.Changed, n, len(changes))
		}
	}
	ended, stop := context.WithCancel(ctx)
	stop()
	if _, err := screen.Backtest(ended, s, store.Window{}, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// BenchmarkBacktest decides a month of 100,000 calls with 1,000,000 findings again, from SQLite. The promised time is 5 s.
func BenchmarkBacktest(b *testing.B) {
	s := monthOf(b, 100_000, 10)
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
