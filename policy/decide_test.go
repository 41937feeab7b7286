package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/policy"
)

func scored(leg string, seq int, score float64) policy.Finding {
	return policy.Finding{
		Leg:    leg,
		Seq:    seq,
		Speech: 8 * time.Second,
		State:  policy.Scored,
		Score:  score,
	}
}

func failed(leg string, seq int, reason string) policy.Finding {
	return policy.Finding{
		Leg:    leg,
		Seq:    seq,
		Speech: 8 * time.Second,
		State:  policy.Failed,
		Reason: reason,
	}
}

func skipped(leg string, seq int, speech time.Duration) policy.Finding {
	return policy.Finding{
		Leg:    leg,
		Seq:    seq,
		Speech: speech,
		State:  policy.Skipped,
		Reason: policy.ReasonTooLittleSpeech,
	}
}

func with(change func(*policy.Policy)) policy.Policy {
	p := policy.Default()
	change(&p)
	return p
}

func TestDecide(t *testing.T) {
	twoOf3 := with(func(p *policy.Policy) { p.Need, p.Of = 2, 3 })
	lenient := with(func(p *policy.Policy) { p.OnUnscreened = policy.Clear })
	for _, c := range []struct {
		name     string
		policy   policy.Policy
		findings []policy.Finding
		outcome  policy.Outcome
		reasons  string
		review   bool
	}{
		{"no findings at all", policy.Default(), nil,
			policy.OutcomeInconclusive, "too_little_speech", true},
		{"no findings, unscreened may pass: still not clear", lenient, nil,
			policy.OutcomeInconclusive, "too_little_speech", false},
		{"one low score", policy.Default(), []policy.Finding{scored("caller", 0, 0.1)},
			policy.OutcomeClear, "scores_below_threshold", false},
		{
			"one high score among low ones",
			policy.Default(),
			[]policy.Finding{scored("caller", 0, 0.1), scored("caller", 1, 0.61), scored("caller", 2, 0)},
			policy.OutcomeFlagged,
			"score_over_threshold",
			true,
		},
		{"a failure could have been high", policy.Default(), []policy.Finding{scored("caller", 0, 0.1), failed("caller", 1, "timeout")},
			policy.OutcomeInconclusive, "timeout", true},
		{"a failure without a reason", policy.Default(), []policy.Finding{scored("caller", 0, 0.1), failed("caller", 1, "")},
			policy.OutcomeInconclusive, "analysis_failed", true},
		{"a failure does not hide a flag", policy.Default(), []policy.Finding{scored("caller", 0, 0.9), failed("caller", 1, "timeout")},
			policy.OutcomeFlagged, "score_over_threshold", true},
		{"everything failed: the failure is the reason, not the speech", policy.Default(), []policy.Finding{failed("caller", 0, "unauthorized")},
			policy.OutcomeInconclusive, "unauthorized", true},
		{"a failure may pass where the operator says so", lenient, []policy.Finding{scored("caller", 0, 0.1), failed("caller", 1, "timeout")},
			policy.OutcomeClear, "timeout unscreened_allowed", false},
		{"but not when nothing was analysed", lenient, []policy.Finding{failed("caller", 0, "timeout")},
			policy.OutcomeInconclusive, "timeout", false},
		{"a pending segment", lenient, []policy.Finding{scored("caller", 0, 0.1), {Leg: "caller", Seq: 1, Speech: time.Second}},
			policy.OutcomeInconclusive, "analysis_pending", false},
		{
			"a short tail is skipped and does not matter",
			policy.Default(),
			[]policy.Finding{scored("caller", 0, 0.1), skipped("caller", 1, 2*time.Second)},
			policy.OutcomeClear,
			"scores_below_threshold",
			false,
		},
		{"most of the speech was skipped", policy.Default(), []policy.Finding{scored("caller", 0, 0.1), skipped("caller", 1, 9*time.Second)},
			policy.OutcomeInconclusive, "too_little_coverage", true},
		{
			"a caller too terse to judge is not covered by the agent",
			policy.Default(),
			[]policy.Finding{scored("agent", 0, 0.1), skipped("caller", 0, 2*time.Second)},
			policy.OutcomeInconclusive,
			"too_little_speech",
			true,
		},
		{
			"a leg that did not speak does not matter",
			policy.Default(),
			[]policy.Finding{scored("agent", 0, 0.1), skipped("caller", 0, 300*time.Millisecond)},
			policy.OutcomeClear,
			"scores_below_threshold",
			false,
		},
		{"one of two needed: suspicious", twoOf3, []policy.Finding{scored("caller", 0, 0.9), scored("caller", 1, 0.5)},
			policy.OutcomeInconclusive, "suspicious", true},
		{"suspicion ends below clear_below", twoOf3, []policy.Finding{scored("caller", 0, 0.9), scored("caller", 1, 0.39)},
			policy.OutcomeClear, "scores_below_threshold", false},
		{"suspicion does not end at clear_below", twoOf3, []policy.Finding{scored("caller", 0, 0.9), scored("caller", 1, 0.4)},
			policy.OutcomeInconclusive, "suspicious", true},
		{"two within three", twoOf3, []policy.Finding{scored("caller", 0, 0.9), scored("caller", 1, 0.1), scored("caller", 2, 0.9)},
			policy.OutcomeFlagged, "score_over_threshold", true},
		{
			"two too far apart",
			twoOf3,
			[]policy.Finding{scored("caller", 0, 0.9), scored("caller", 1, 0.1), scored("caller", 3, 0.9), scored("caller", 4, 0.1)},
			policy.OutcomeClear,
			"scores_below_threshold",
			false,
		},
		{"one on each leg is not two on one", twoOf3, []policy.Finding{scored("caller", 0, 0.9), scored("agent", 0, 0.9)},
			policy.OutcomeInconclusive, "suspicious", true},
		{
			"a failure too early for a flag is still unheard",
			twoOf3,
			[]policy.Finding{failed("caller", 0, "timeout"), scored("caller", 1, 0.1), scored("caller", 2, 0.1), scored("caller", 3, 0.1)},
			policy.OutcomeInconclusive,
			"too_little_coverage",
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.policy.Decide(c.findings, nil)
			if d.Outcome != c.outcome || strings.Join(d.Reasons, " ") != c.reasons || d.Review != c.review {
				t.Errorf("got %v %v review=%v, want %v [%v] review=%v", d.Outcome, d.Reasons, d.Review, c.outcome, c.reasons, c.review)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	low, two := 0.3, 2
	p := with(func(p *policy.Policy) {
		p.Overrides = []policy.Override{
			{Metadata: map[string]string{"queue": "payments"}, Threshold: &low},
			{Leg: "agent", Need: &two},
		}
	})
	if err := p.Validate(); err != nil {
		t.Fatal(err)
	}
	payments := map[string]string{"queue": "payments", "from": "x"}
	call := []policy.Finding{scored("caller", 0, 0.5)}
	if d := p.Decide(call, nil); d.Outcome != policy.OutcomeClear || d.Threshold != 0.6 {
		t.Errorf("without metadata: %+v", d)
	}
	if d := p.Decide(call, map[string]string{"queue": "sales"}); d.Outcome != policy.OutcomeClear {
		t.Errorf("another queue: %+v", d)
	}
	if d := p.Decide(call, payments); d.Outcome != policy.OutcomeFlagged || d.Threshold != 0.3 || *d.Score != 0.5 {
		t.Errorf("payments: %+v", d)
	}
	if r := p.For("caller", payments); r.ClearBelow != 0.3 {
		t.Errorf("clear_below %v stays above the lowered threshold", r.ClearBelow)
	}
	if d := p.Decide([]policy.Finding{scored("agent", 0, 0.9), scored("agent", 1, 0.1)}, nil); d.Outcome != policy.OutcomeClear {
		t.Errorf("agent needs two: %+v", d)
	}
	// The reported score belongs to the leg that determined the outcome, with the threshold of that leg.
	d := p.Decide([]policy.Finding{scored("agent", 0, 0.95), scored("agent", 1, 0.1), scored("caller", 0, 0.4)}, payments)
	if d.Outcome != policy.OutcomeFlagged || *d.Score != 0.4 || d.Threshold != 0.3 {
		t.Errorf("shown %v over %v", *d.Score, d.Threshold)
	}
}

func TestCoverageAddsUp(t *testing.T) {
	d := policy.Default().Decide([]policy.Finding{
		scored("caller", 0, 0.1), skipped("caller", 1, 2*time.Second), failed("agent", 0, "timeout"), scored("agent", 1, 0.2),
	}, nil)
	if d.Speech != 26*time.Second || d.Analysed != 16*time.Second || len(d.Legs) != 2 || d.Legs[0].Leg != "agent" {
		t.Errorf("%+v", d)
	}
}

// Bug: a program that printed *Score panicked on a call of which nothing was scored.
func TestDecisionWithoutScoreHasNoHighestScore(t *testing.T) {
	for name, findings := range map[string][]policy.Finding{
		"no findings":         nil,
		"pending":             {{Leg: "caller", Speech: time.Second}},
		"failed":              {failed("caller", 0, "timeout")},
		"skipped":             {skipped("caller", 0, 2*time.Second)},
		"skipped and ignored": {skipped("caller", 0, time.Millisecond)},
	} {
		for _, p := range []policy.Policy{policy.Default(), {}} {
			d := p.Decide(findings, nil)
			if score, ok := d.HighestScore(); ok || score != 0 {
				t.Errorf("%s: call has score %v", name, score)
			}
			for _, l := range d.Legs {
				if score, ok := l.HighestScore(); ok || score != 0 {
					t.Errorf("%s: leg %s has score %v", name, l.Leg, score)
				}
			}
		}
	}
	d := policy.Default().Decide([]policy.Finding{scored("caller", 0, 0.9)}, nil)
	if score, ok := d.HighestScore(); !ok || score != 0.9 {
		t.Errorf("scored call: %v, %v", score, ok)
	}
	if score, ok := d.Legs[0].HighestScore(); !ok || score != 0.9 {
		t.Errorf("scored leg: %v, %v", score, ok)
	}
}

func TestValidateNamesEveryProblem(t *testing.T) {
	nan, bad, need := 1.5, policy.Unscreened("maybe"), 4
	p := policy.Policy{
		Threshold:    2,
		ClearBelow:   -1,
		Need:         -1,
		Of:           -2,
		MinSpeech:    -1,
		MinCoverage:  7,
		IgnoreBelow:  -1,
		OnUnscreened: "x",
		Overrides:    []policy.Override{{}, {Leg: "caller", Threshold: &nan, OnUnscreened: &bad}},
	}
	err := p.Validate()
	for _, want := range []string{
		"threshold: is 2",
		"clear_below: is -1",
		"need: is -1",
		"of: is -2",
		"min_speech:",
		"min_coverage:",
		"ignore_below:",
		"on_unscreened: is \"x\"",
		"overrides[0].leg:",
		"overrides[1].threshold: is 1.5",
		"overrides[1].on_unscreened: is \"maybe\"",
	} {
		if err == nil || !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	if err := policy.Default().Validate(); err != nil {
		t.Error(err)
	}
	of := with(func(p *policy.Policy) { p.Of = 3; p.Overrides = []policy.Override{{Leg: "caller", Need: &need}} })
	if err := of.Validate(); err == nil || !strings.Contains(err.Error(), "overrides[0].of: is 3, less than need 4") {
		t.Errorf("need over of by an override: %v", err)
	}
	if err := with(func(p *policy.Policy) { p.ClearBelow = 0.7 }).Validate(); err == nil ||
		!strings.Contains(err.Error(), "above the threshold") {
		t.Errorf("clear_below over threshold: %v", err)
	}
}

func TestNamesAreThoseOfTheReports(t *testing.T) {
	got := fmt.Sprint(policy.Pending, policy.Scored, policy.Failed, policy.Skipped, policy.State(9),
		policy.OutcomeClear, policy.OutcomeInconclusive, policy.OutcomeFlagged, policy.Outcome(9))
	if want := "pending scored failed skipped unknown clear inconclusive flagged unknown"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !slices.IsSorted([]policy.Outcome{policy.OutcomeClear, policy.OutcomeInconclusive, policy.OutcomeFlagged}) {
		t.Error("outcomes are not ordered by gravity")
	}
}

func ExamplePolicy_Decide() {
	decision := policy.Default().Decide([]policy.Finding{
		{
			Leg:    "caller",
			Seq:    0,
			Speech: 4 * time.Second,
			State:  policy.Scored,
			Score:  0.87,
		},
		{
			Leg:    "agent",
			Seq:    0,
			Speech: 9 * time.Second,
			State:  policy.Scored,
			Score:  0.08,
		},
	}, map[string]string{"queue": "payments"})
	if score, ok := decision.HighestScore(); ok {
		fmt.Println(decision.Outcome, score, decision.Reasons)
	}
	for _, leg := range decision.Legs {
		fmt.Println(leg.Leg, leg.Outcome)
	}
	// Output:
	// flagged 0.87 [score_over_threshold]
	// agent clear
	// caller flagged
}
