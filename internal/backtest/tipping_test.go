package backtest_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"callscreen/internal/backtest"
	"callscreen/policy"
)

// world is a random policy with the findings of a random call.
func world(seed uint64) (policy.Policy, []policy.Finding, map[string]string) {
	rng := rand.New(rand.NewPCG(seed, 7))
	maybe := func() bool { return rng.IntN(2) == 0 }
	p := policy.Default()
	p.Threshold, p.ClearBelow, p.Need = 0.6, 0.4*rng.Float64(), rng.IntN(4)
	if maybe() {
		p.Of = p.Need + rng.IntN(3)
	}
	p.MinCoverage, p.MinSpeech, p.IgnoreBelow = rng.Float64(), time.Duration(rng.IntN(20))*time.Second, time.Duration(rng.IntN(8))*time.Second
	if maybe() {
		p.OnUnscreened = policy.Clear
	}
	metadata := map[string]string{"queue": []string{"payments", "sales"}[rng.IntN(2)]}
	for rng.IntN(3) == 0 {
		o := policy.Override{Leg: []string{"", "caller", "agent"}[rng.IntN(3)]}
		if o.Leg == "" || maybe() {
			o.Metadata = map[string]string{"queue": "payments"}
		}
		need, of, threshold := 1+rng.IntN(3), rng.IntN(5), float64(rng.IntN(11))/10
		if maybe() {
			o.Need = &need
		}
		if of = max(of, need); maybe() {
			o.Of = &of
		}
		if rng.IntN(3) == 0 {
			o.Threshold = &threshold
		}
		p.Overrides = append(p.Overrides, o)
	}
	var findings []policy.Finding
	for _, leg := range []string{"caller", "agent", "third"}[:1+rng.IntN(3)] {
		for seq := range rng.IntN(9) {
			f := policy.Finding{
				Leg:    leg,
				Seq:    seq + rng.IntN(2),
				Speech: time.Duration(rng.IntN(9000)) * time.Millisecond,
				State:  policy.Scored,
				Score:  float64(rng.IntN(11)) / 10,
			}
			switch rng.IntN(12) {
			case 0:
				f.State, f.Reason = policy.Failed, "timeout"
			case 1:
				f.State, f.Seq = policy.Skipped, -1
			case 2:
				f.State = policy.Pending
			case 3:
				f.Score = []float64{math.NaN(), 1.5, -1, math.Inf(1)}[rng.IntN(4)]
			}
			findings = append(findings, f)
		}
	}
	rng.Shuffle(len(findings), func(i, j int) { findings[i], findings[j] = findings[j], findings[i] })
	return p, findings, metadata
}

// Invariant: for any policy and call, one number answers for every threshold what Decide answers.
func TestTippingSaysWhatDecideSaysForEveryThreshold(t *testing.T) {
	seeds := uint64(8_000)
	if testing.Short() {
		seeds = 1_000
	}
	flags, fixed, tips := uint64(0), uint64(0), uint64(0)
	for seed := range seeds {
		p, findings, metadata := world(seed)
		at := backtest.Tipping(p, findings, metadata)
		thresholds := []float64{0, 1, math.Nextafter(0.5, 0), math.Nextafter(0.5, 1)}
		for i := range 21 {
			thresholds = append(thresholds, float64(i)/20)
		}
		if !math.IsInf(at, 0) {
			tips++
			thresholds = append(thresholds, at, math.Nextafter(at, 0), min(1, math.Nextafter(at, 2)))
		}
		for _, threshold := range thresholds {
			got := threshold < at
			want := backtest.At(p, threshold).Decide(findings, metadata).Outcome == policy.OutcomeFlagged
			if got != want && threshold >= 0 {
				t.Fatalf("seed %d, threshold %v: tips at %v, but Decide flags: %v\n%+v\n%+v %v", seed, threshold, at, want, p, findings, metadata)
			}
			if want {
				flags++
			}
		}
		if math.IsInf(at, 1) {
			fixed++
		}
	}
	if flags < 2*seeds || fixed < seeds/60 || tips < seeds/4 {
		t.Errorf("the worlds show little: %d flags, %d fixed, %d that tip", flags, fixed, tips)
	}
}

func BenchmarkTipping(b *testing.B) {
	p, findings, metadata := world(3)
	b.ReportAllocs()
	for b.Loop() {
		backtest.Tipping(p, findings, metadata)
	}
}
