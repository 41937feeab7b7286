package backtest

import (
	"cmp"
	"math"
	"slices"

	"callscreen/policy"
)

// At returns a policy with another threshold. As in an override, a threshold below ClearBelow lowers ClearBelow too.
func At(p policy.Policy, threshold float64) policy.Policy {
	p.Threshold, p.ClearBelow = threshold, min(p.ClearBelow, threshold)
	return p
}

// Tipping returns the threshold at which the decision about a call tips: At(p, t) flags the call for every t below it,
// and for no other t. It is infinite if an override with its own threshold decides. One call of Tipping answers for all
// thresholds.
func Tipping(p policy.Policy, findings []policy.Finding, metadata map[string]string) float64 {
	highest := math.Inf(-1)
	for i, f := range findings {
		if slices.ContainsFunc(findings[:i], func(g policy.Finding) bool { return g.Leg == f.Leg }) {
			continue // the leg is done
		}
		swept := p
		swept.Threshold = math.NaN() // marks that no override sets it
		rules := swept.For(f.Leg, metadata)
		at := tippingOfLeg(rules, f.Leg, findings[i:])
		switch {
		case math.IsNaN(rules.Threshold):
			highest = max(highest, at)
		case at > rules.Threshold:
			return math.Inf(1)
		}
	}
	return highest
}

// tipping returns the highest of the tipping thresholds of all metadata that may hold.
func tipping(p policy.Policy, c policy.Call) float64 {
	if len(c.Metadata) == 1 && c.LegMetadata == nil {
		return Tipping(p, c.Findings, c.Metadata[0])
	}
	highest := math.Inf(-1)
	alternatives := slices.Clone(c.Metadata)
	for _, own := range c.LegMetadata {
		alternatives = append(alternatives, own...)
	}
	for _, metadata := range alternatives {
		highest = max(highest, Tipping(p, c.Findings, metadata))
	}
	return highest
}

// tippingOfLeg returns the highest score that Need scores reach, within Of consecutive segments if Of is set.
func tippingOfLeg(rules policy.Policy, leg string, findings []policy.Finding) float64 {
	scored := make([]policy.Finding, 0, len(findings))
	for _, f := range findings {
		if f.Leg == leg && f.State == policy.Scored && policy.ValidScore(f.Score) {
			scored = append(scored, f)
		}
	}
	if rules.Need == 1 || rules.Of == 0 {
		return reached(rules.Need, scored)
	}
	slices.SortFunc(scored, func(a, b policy.Finding) int { return cmp.Compare(a.Seq, b.Seq) })
	highest := math.Inf(-1)
	for i := range scored {
		end := i
		for end < len(scored) && scored[end].Seq-scored[i].Seq < rules.Of {
			end++
		}
		highest = max(highest, reached(rules.Need, scored[i:end]))
	}
	return highest
}

// reached returns the highest score that need findings reach.
func reached(need int, scored []policy.Finding) float64 {
	if len(scored) < need {
		return math.Inf(-1)
	}
	scores := make([]float64, len(scored))
	for i, f := range scored {
		scores[i] = f.Score
	}
	slices.Sort(scores)
	return scores[len(scores)-need]
}
