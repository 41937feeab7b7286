package policy_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"callscreen/policy"
)

const seeds = 5000

// world is a random policy with the findings of a random call.
type world struct {
	rng      *rand.Rand
	policy   policy.Policy
	findings []policy.Finding
}

func newWorld(seed uint64) world {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := policy.Default()
	p.Threshold = float64(rng.IntN(11)) / 10
	p.ClearBelow = p.Threshold * rng.Float64()
	p.Need = 1 + rng.IntN(3)
	if rng.IntN(2) == 0 {
		p.Of = p.Need + rng.IntN(3)
	}
	p.MinSpeech = time.Duration(rng.IntN(20)) * time.Second
	p.MinCoverage = float64(rng.IntN(3)) / 4
	if rng.IntN(3) == 0 {
		p.OnUnscreened = policy.Clear
	}
	w := world{rng: rng, policy: p}
	for _, leg := range []string{"caller", "agent"}[:1+rng.IntN(2)] {
		for seq := range rng.IntN(8) {
			w.findings = append(w.findings, w.finding(leg, seq))
		}
	}
	return w
}

func (w world) finding(leg string, seq int) policy.Finding {
	f := policy.Finding{Leg: leg, Seq: seq, Speech: time.Duration(w.rng.IntN(12000)) * time.Millisecond}
	switch w.rng.IntN(8) {
	case 0:
		f.State, f.Reason = policy.Failed, "timeout"
	case 1:
		f.State, f.Reason = policy.Skipped, "too_little_speech"
	case 2:
		f.State = policy.Pending
	default:
		f.State = policy.Scored
		f.Score = float64(w.rng.IntN(11)) / 10 // a coarse grid, so that scores equal to the threshold are common
	}
	return f
}

func (w world) decide() policy.Decision { return w.policy.Decide(w.findings, nil) }

func forEachWorld(t *testing.T, check func(t *testing.T, w world)) {
	t.Helper()
	for seed := range uint64(seeds) {
		check(t, newWorld(seed))
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, newWorld(seed))
		}
	}
}

func TestOrderOfFindingsDoesNotMatter(t *testing.T) {
	forEachWorld(t, func(t *testing.T, w world) {
		want := w.decide()
		w.rng.Shuffle(len(w.findings), func(i, j int) { w.findings[i], w.findings[j] = w.findings[j], w.findings[i] })
		shuffled := slices.Clone(w.findings)
		if got := w.decide(); !reflect.DeepEqual(got, want) {
			t.Errorf("shuffled: %+v, want %+v", got, want)
		}
		if !reflect.DeepEqual(w.findings, shuffled) {
			t.Error("Decide changed its input")
		}
	})
}

func TestRaisingAScoreNeverMakesTheOutcomeMilder(t *testing.T) {
	tried := 0
	forEachWorld(t, func(t *testing.T, w world) {
		before := w.decide()
		for i, f := range w.findings {
			if f.State != policy.Scored || f.Score == 1 {
				continue
			}
			tried++
			w.findings[i].Score = f.Score + (1-f.Score)*w.rng.Float64()
			if after := w.decide(); after.Outcome < before.Outcome {
				t.Errorf("score %d from %v to %v: %v after %v", i, f.Score, w.findings[i].Score, after.Outcome, before.Outcome)
			}
			w.findings[i] = f
		}
	})
	if tried < seeds {
		t.Fatalf("only %d scores were raised; the random calls hold too few findings", tried)
	}
}

func TestAnotherFindingNeverTakesAFlagBack(t *testing.T) {
	flagged := 0
	forEachWorld(t, func(t *testing.T, w world) {
		if len(w.findings) == 0 {
			return
		}
		last := w.rng.IntN(len(w.findings))
		late := w.findings[last]
		w.findings = slices.Delete(w.findings, last, last+1)
		if w.decide().Outcome != policy.OutcomeFlagged {
			return
		}
		flagged++
		w.findings = append(w.findings, late)
		if got := w.decide(); got.Outcome != policy.OutcomeFlagged {
			t.Errorf("%v after %+v arrived", got.Outcome, late)
		}
	})
	if flagged < seeds/20 {
		t.Fatalf("only %d flagged calls", flagged)
	}
}

// Invariant: in a clear call, no failed or pending segment could have changed the outcome with any score.
func TestWhatFailedCouldNotHaveChangedAClearCall(t *testing.T) {
	tried := 0
	forEachWorld(t, func(t *testing.T, w world) {
		w.policy.OnUnscreened = policy.Review
		if w.decide().Outcome != policy.OutcomeClear {
			return
		}
		for i, f := range w.findings {
			if f.State != policy.Failed && f.State != policy.Pending {
				continue
			}
			tried++
			for range 10 {
				w.findings[i].State, w.findings[i].Score = policy.Scored, w.rng.Float64()
				if got := w.decide(); got.Outcome != policy.OutcomeClear {
					t.Errorf("finding %d with score %v: %v", i, w.findings[i].Score, got.Outcome)
				}
			}
			w.findings[i] = f
		}
	})
	if tried < 20 {
		t.Fatalf("only %d clear calls with failed segments", tried)
	}
}

func TestNothingAnalysedIsNeverClear(t *testing.T) {
	forEachWorld(t, func(t *testing.T, w world) {
		for i := range w.findings {
			if w.findings[i].State == policy.Scored {
				w.findings[i].State = []policy.State{policy.Failed, policy.Skipped, policy.Pending}[w.rng.IntN(3)]
			}
		}
		if d := w.decide(); d.Outcome != policy.OutcomeInconclusive || d.Analysed != 0 || len(d.Reasons) == 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestALegIsClearOnlyWithEnoughAnalysed(t *testing.T) {
	clear := 0
	forEachWorld(t, func(t *testing.T, w world) {
		for _, l := range w.decide().Legs {
			if l.Outcome != policy.OutcomeClear {
				continue
			}
			clear++
			if l.Analysed < w.policy.MinSpeech || l.Analysed == 0 {
				t.Errorf("leg %s is clear with %v analysed of %v needed", l.Leg, l.Analysed, w.policy.MinSpeech)
			}
		}
	})
	if clear < seeds/10 {
		t.Fatalf("only %d clear legs", clear)
	}
}

func TestLegsAreDecidedApart(t *testing.T) {
	forEachWorld(t, func(t *testing.T, w world) {
		whole := w.decide()
		for _, want := range whole.Legs {
			var alone []policy.Finding
			for _, f := range w.findings {
				if f.Leg == want.Leg {
					alone = append(alone, f)
				}
			}
			got := w.policy.Decide(alone, nil).Legs[0]
			if !reflect.DeepEqual(got, want) {
				t.Errorf("alone %+v, in the call %+v", got, want)
			}
		}
	})
}

// The window rule agrees with a brute-force count: some Of consecutive segment numbers hold Need scores above the
// threshold.
func TestWindowEqualsBruteForce(t *testing.T) {
	forEachWorld(t, func(t *testing.T, w world) {
		for _, l := range w.decide().Legs {
			over := map[int]bool{}
			for _, f := range w.findings {
				if f.Leg == l.Leg && f.State == policy.Scored && f.Score > w.policy.Threshold {
					over[f.Seq] = true
				}
			}
			of := w.policy.Of
			if of == 0 {
				of = 100
			}
			want := false
			for from := -100; from < 10; from++ {
				n := 0
				for seq := from; seq < from+of; seq++ {
					if over[seq] {
						n++
					}
				}
				want = want || n >= w.policy.Need
			}
			if got := l.Outcome == policy.OutcomeFlagged; got != want {
				t.Errorf("leg %s flagged=%v, brute force says %v", l.Leg, got, want)
			}
		}
	})
}

func TestScoreEqualToTheThresholdDoesNotExceedIt(t *testing.T) {
	for i := range 1001 {
		p := policy.Default()
		p.Threshold = float64(i) / 1000
		p.ClearBelow = 0
		at := func(score float64) policy.Decision {
			return p.Decide([]policy.Finding{{Leg: "caller", Speech: 10 * time.Second, State: policy.Scored, Score: score}}, nil)
		}
		if d := at(p.Threshold); d.Outcome != policy.OutcomeClear {
			t.Fatalf("threshold %v: %v at the threshold", p.Threshold, d.Outcome)
		}
		if above := math.Nextafter(p.Threshold, 2); above <= 1 {
			if d := at(above); d.Outcome != policy.OutcomeFlagged {
				t.Fatalf("threshold %v: %v just above it", p.Threshold, d.Outcome)
			}
		}
	}
}

func TestAScoreThatIsNoProbabilityIsAFailedAnalysis(t *testing.T) {
	for _, score := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -0.01, 1.01, 87} {
		d := policy.Default().Decide([]policy.Finding{
			{
				Leg:    "caller",
				Seq:    0,
				Speech: 10 * time.Second,
				State:  policy.Scored,
				Score:  0.1,
			},
			{
				Leg:    "caller",
				Seq:    1,
				Speech: 10 * time.Second,
				State:  policy.Scored,
				Score:  score,
			},
		}, nil)
		if d.Outcome != policy.OutcomeInconclusive || !slices.Equal(d.Reasons, []string{policy.ReasonInvalidScore}) ||
			d.Analysed != 10*time.Second {
			t.Errorf("score %v: %+v", score, d)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{4, 40, 400} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(1)
			w.findings = nil
			for i := range n {
				w.findings = append(w.findings, w.finding("caller", i))
			}
			b.ReportAllocs()
			for b.Loop() {
				w.decide()
			}
		})
	}
}
