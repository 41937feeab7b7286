package backtest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/backtest"
	"callscreen/policy"
)

// call returns a call with one leg and one score.
func call(id string, score float64, decision, disposition string) backtest.Call {
	return backtest.Call{
		ID: id,
		Call: policy.Call{
			Findings: []policy.Finding{{Leg: "caller", Speech: 10 * time.Second, State: policy.Scored, Score: score}},
			Metadata: []map[string]string{nil},
		},
		Decision:    decision,
		Review:      decision != "clear",
		Disposition: disposition,
	}
}

func each(calls ...backtest.Call) iter.Seq2[backtest.Call, error] {
	return func(yield func(backtest.Call, error) bool) {
		for _, c := range calls {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func run(t *testing.T, o backtest.Options, calls ...backtest.Call) backtest.Result {
	t.Helper()
	r, err := backtest.Run(each(calls...), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func with(threshold float64) policy.Policy { return backtest.At(policy.Default(), threshold) }

func TestWhatChangesIsToldAndJudged(t *testing.T) {
	pending := call("pending", 0.9, "inconclusive", "")
	pending.Findings = append(pending.Findings, policy.Finding{Leg: "caller", Seq: 1, State: policy.Pending})
	r := run(t, backtest.Options{Current: policy.Default(), New: with(0.8), Show: 3},
		call("a", 0.9, "flagged", "confirmed_synthetic"),
		call("b", 0.7, "flagged", "confirmed_synthetic"),
		call("c", 0.7, "flagged", "false_alarm"),
		call("d", 0.8, "flagged", "unsure"),
		call("e", 0.9, "clear", ""), // by an older policy
		call("f", 0.1, "clear", ""),
		call("g", 0.7, "clear", "something else"),
		call("h", 0.61, "flagged", ""),
		pending,
	)
	if r.Calls != 8 || r.Findings != 8 || r.Unfinished != 1 ||
		r.Dispositions != (backtest.Dispositions{ConfirmedSynthetic: 2, FalseAlarm: 1, Unsure: 1}) {
		t.Errorf("%+v", r)
	}
	if r.Decided != (backtest.Outcomes{Flagged: 5, Clear: 3, Review: 5}) ||
		r.Current.Outcomes != (backtest.Outcomes{Flagged: 7, Clear: 1, Review: 7}) ||
		r.New.Outcomes != (backtest.Outcomes{Flagged: 2, Clear: 6, Review: 2}) {
		t.Errorf("%+v %+v %+v", r.Decided, r.Current, r.New)
	}
	if got := fmt.Sprint(
		r.Current.Precision,
		r.Current.Recall,
		r.Current.FalseAlarmRate,
	); got != "66.7 % (20.8 to 93.9 %) 100 % (34.2 to 100 %) 100 % (20.7 to 100 %)" {
		t.Error(got)
	}
	if r.New.Precision != (backtest.Rate{Count: 1, Of: 1}) || r.New.Recall != (backtest.Rate{Count: 1, Of: 2}) ||
		r.New.FalseAlarmRate != (backtest.Rate{Count: 0, Of: 1}) {
		t.Errorf("%+v", r.New)
	}
	if r.Reviewed != (backtest.Shift{ConfirmedLost: 1, FalseAlarmsAvoided: 1}) {
		t.Errorf("%+v", r.Reviewed)
	}
	if r.Changed != 5 || r.ChangedFromCurrent != 5 || len(r.Changes) != 3 || r.Changes[0] != (backtest.Change{
		Call:        "b",
		From:        "flagged",
		Current:     "flagged",
		To:          "clear",
		Disposition: "confirmed_synthetic",
	}) {
		t.Errorf("%d %d %+v", r.Changed, r.ChangedFromCurrent, r.Changes)
	}
	if len(r.Transitions) != 2 || r.Transitions[0] != (backtest.Transition{From: "flagged", To: "clear", Calls: 4}) ||
		r.Transitions[1] != (backtest.Transition{From: "clear", To: "flagged", Calls: 1}) {
		t.Errorf("%+v", r.Transitions)
	}
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{
		"Too few dispositions to conclude anything: 2 confirmed_synthetic and 1 false_alarm. It takes 93 of each",
		"only describe 3 calls that were reviewed (verification bias)",
		"1 call is left out because the analysis is not finished",
		"2 stored decisions differ from that of the current policy",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("no %q in\n%s", want, notes)
		}
	}
	if r.Conclusive || strings.Contains(notes, "simulated") || strings.Contains(notes, "Overrides") {
		t.Error(notes)
	}
}

func TestNewFlagsAndNewFalseAlarmsAreTold(t *testing.T) {
	r := run(
		t,
		backtest.Options{Current: with(0.8), New: policy.Default()},
		call("a", 0.7, "clear", "confirmed_synthetic"),
		call("b", 0.7, "clear", "false_alarm"),
		call("c", 0.9, "flagged", "false_alarm"),
	)
	if r.Reviewed != (backtest.Shift{ConfirmedGained: 1, FalseAlarmsAdded: 1}) || r.Changed != 2 || len(r.Changes) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestSimulatedCallsAreToldOrLeftOut(t *testing.T) {
	made := call("made up", 0.9, "flagged", "")
	made.Simulated = true
	for _, skip := range []bool{false, true} {
		r := run(
			t,
			backtest.Options{Current: policy.Default(), New: policy.Default(), SkipSimulated: skip},
			made,
			call("real", 0.9, "flagged", ""),
		)
		want := map[bool]string{false: "1 call was simulated: the stand-in detects nothing", true: "1 simulated call is left out"}[skip]
		if r.Simulated != 1 || r.Calls != map[bool]int{false: 2, true: 1}[skip] || !strings.Contains(strings.Join(r.Notes, "\n"), want) {
			t.Errorf("skip %v: %+v", skip, r)
		}
	}
}

func TestOverridesWithAThresholdOfTheirOwnStayAlongTheCurve(t *testing.T) {
	half := 0.5
	o := backtest.Options{Current: policy.Default(), New: policy.Default()}
	o.New.Overrides = []policy.Override{{Metadata: map[string]string{"queue": "payments"}, Threshold: &half}}
	c := call("a", 0.55, "clear", "false_alarm")
	c.Metadata = []map[string]string{{"queue": "payments"}}
	r := run(t, o, c)
	for _, p := range r.Curve {
		if p.Flagged != 1 || p.FalseAlarmRate.Count != 1 {
			t.Fatalf("%+v", p)
		}
	}
	if r.Target.Possible || r.Target.Threshold != 0 || !strings.Contains(strings.Join(r.Notes, " "), "Overrides of the new policy") {
		t.Errorf("%+v %v", r.Target, r.Notes)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestErrorsOfTheCallsAndWrongRatesAreErrors(t *testing.T) {
	broken := errors.New("broken")
	_, err := backtest.Run(func(yield func(backtest.Call, error) bool) { yield(backtest.Call{}, broken) }, backtest.Options{})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	for _, rate := range []float64{-0.1, 1, 2, math.NaN()} {
		if _, err := backtest.Run(each(), backtest.Options{FalseAlarmRate: rate}); err == nil {
			t.Errorf("a rate of %v is taken", rate)
		}
	}
}

func TestNothingIsAResultToo(t *testing.T) {
	r := run(t, backtest.Options{Current: policy.Default(), New: policy.Default()})
	data, err := json.Marshal(r)
	if err != nil || strings.Contains(string(data), `"changes":null`) || len(r.Curve) != 101 || r.Target.Possible ||
		!strings.Contains(r.Target.String(), "at least 381") {
		t.Errorf("%s %v", data, err)
	}
}

// random returns random calls, most of them not reviewed.
func random(seed uint64, n int) (calls []backtest.Call) {
	rng := rand.New(rand.NewPCG(seed, 3))
	for i := range n {
		_, findings, metadata := world(seed*1_000_000 + uint64(i))
		findings = slices.DeleteFunc(findings, func(f policy.Finding) bool { return f.State == policy.Pending })
		for j := range findings {
			if policy.ValidScore(findings[j].Score) {
				findings[j].Score *= rng.Float64() // every score is another
			}
		}
		calls = append(calls, backtest.Call{
			ID:          fmt.Sprint(i),
			Call:        policy.Call{Findings: findings, Metadata: []map[string]string{metadata}},
			Decision:    "clear",
			Disposition: []string{"", "", "", "confirmed_synthetic", "false_alarm", "unsure"}[rng.IntN(6)],
		})
	}
	return calls
}

// tried evaluates a policy by deciding every call.
func tried(p policy.Policy, calls []backtest.Call) (point backtest.Point) {
	point.Threshold = p.Threshold
	for _, c := range calls {
		flagged := p.DecideCall(c.Call).Outcome == policy.OutcomeFlagged
		n := 0
		if flagged {
			n = 1
		}
		point.Flagged += n
		switch c.Disposition {
		case "confirmed_synthetic":
			point.Recall.Of++
			point.Recall.Count += n
			point.Precision.Of += n
			point.Precision.Count += n
		case "false_alarm":
			point.FalseAlarmRate.Of++
			point.FalseAlarmRate.Count += n
			point.Precision.Of += n
		}
	}
	return point
}

func TestEveryPointOfTheCurveIsWhatThePolicyWouldDo(t *testing.T) {
	seeds := uint64(3)
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		calls := random(seed, 900)
		o := backtest.Options{Current: policy.Default(), FalseAlarmRate: 0.2}
		o.New, _, _ = world(seed + 100)
		r := run(t, o, calls...)
		if len(r.Curve) < 200 || len(r.Curve) > 320 || r.Curve[0].Threshold != 0 || r.Curve[len(r.Curve)-1].Threshold != 1 {
			t.Fatalf("%d points", len(r.Curve))
		}
		marked := 0
		for i, p := range r.Curve {
			if i > 0 && p.Threshold <= r.Curve[i-1].Threshold {
				t.Fatalf("point %d is not behind the one before it", i)
			}
			if p.Threshold == o.New.Threshold || p.Threshold == r.Target.Threshold {
				marked++
			}
			if want := tried(backtest.At(o.New, p.Threshold), calls); p != want {
				t.Fatalf("seed %d: got %+v, want %+v", seed, p, want)
			}
		}
		if marked != 2 {
			t.Error("the marks are not on the curve")
		}
	}
}

func TestTheThresholdForAFalseAlarmRateIsTheLowestThatKeepsIt(t *testing.T) {
	proven := 0
	for seed := range uint64(12) {
		calls := random(seed, 100+int(seed)*150)
		o := backtest.Options{Current: policy.Default(), New: policy.Default(), FalseAlarmRate: []float64{0.02, 0.1, 0.3}[seed%3]}
		target := run(t, o, calls...).Target
		keeps := func(p backtest.Point) bool {
			_, high := p.FalseAlarmRate.Interval()
			return target.Proven && high <= target.Rate || !target.Proven && p.FalseAlarmRate.Value() <= target.Rate
		}
		if !target.Possible || target.Point != tried(backtest.At(o.New, target.Threshold), calls) || !keeps(target.Point) {
			t.Errorf("seed %d: %+v", seed, target)
		}
		if below := math.Nextafter(target.Threshold, 0); target.Threshold > 0 && keeps(tried(backtest.At(o.New, below), calls)) {
			t.Errorf("seed %d: a lower threshold than %v keeps it too", seed, target.Threshold)
		}
		if target.Proven {
			proven++
		} else if _, high := tried(backtest.At(o.New, 1), calls).FalseAlarmRate.Interval(); high <= target.Rate {
			t.Errorf("seed %d: nothing is proven, but nothing flagged proves it", seed)
		}
	}
	if proven == 0 || proven == 12 {
		t.Errorf("%d of 12 are proven", proven)
	}
}

func TestSoManyDispositionsAsAreAskedForAreEnough(t *testing.T) {
	for _, rate := range []float64{0.001, 0.01, 0.02, 0.05, 0.3} {
		need := run(t, backtest.Options{Current: policy.Default(), New: policy.Default(), FalseAlarmRate: rate}).Target.Needed
		_, high := backtest.Rate{Count: 0, Of: need}.Interval()
		_, before := backtest.Rate{Count: 0, Of: need - 1}.Interval()
		if high > rate || before <= rate {
			t.Errorf("%v: %d give at most %v, one less %v", rate, need, high, before)
		}
	}
	var calls []backtest.Call
	for i := range 93 {
		calls = append(calls, call(fmt.Sprint(i), 0.9, "flagged", "confirmed_synthetic"), call(fmt.Sprint(-i), 0.7, "flagged", "false_alarm"))
	}
	o := backtest.Options{Current: policy.Default(), New: policy.Default()}
	if !run(t, o, calls...).Conclusive || run(t, o, calls[1:]...).Conclusive {
		t.Error("93 of each are enough, and fewer are not")
	}
	for k := range 94 {
		if low, high := (backtest.Rate{Count: k, Of: 93}).Interval(); high-low > 0.2 {
			t.Errorf("%d of 93: %v to %v is wider than ±10 points", k, low, high)
		}
	}
}
