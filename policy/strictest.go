package policy

import (
	"slices"
	"time"
)

// strictest returns the rules for a leg of a call whose metadata is not certain: each rule is the strictest of those that
// one of the alternatives leads to.
func (p Policy) strictest(leg string, alternatives []map[string]string) Policy {
	if len(alternatives) == 0 {
		return p.For(leg, nil)
	}
	r := p.For(leg, alternatives[0])
	for _, metadata := range alternatives[1:] {
		r = r.stricter(p.For(leg, metadata))
	}
	return r
}

// stricter returns rules under which no call is milder than under p or under o. Both have no overrides.
func (p Policy) stricter(o Policy) Policy {
	p.Threshold = min(p.Threshold, o.Threshold)
	p.ClearBelow = min(p.ClearBelow, o.ClearBelow)
	p.Need = min(p.Need, o.Need)
	if p.Of == 0 || o.Of == 0 {
		p.Of = 0 // anywhere in the call
	} else {
		p.Of = max(p.Of, o.Of)
	}
	p.MinSpeech = max(p.MinSpeech, o.MinSpeech)
	p.MinCoverage = max(p.MinCoverage, o.MinCoverage)
	p.IgnoreBelow = min(p.IgnoreBelow, o.IgnoreBelow)
	if o.OnUnscreened == Review {
		p.OnUnscreened = Review
	}
	p.MaxUnheard = Limit{
		Absolute: min(p.MaxUnheard.Absolute, o.MaxUnheard.Absolute),
		Share:    min(p.MaxUnheard.Share, o.MaxUnheard.Share),
	}
	p.MaxLost = min(p.MaxLost, o.MaxLost)
	p.MaxPaused = min(p.MaxPaused, o.MaxPaused)
	p.RequireLegs = union(p.RequireLegs, o.RequireLegs)
	return p
}

// union returns the names in a or b, sorted.
func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// same reports whether two rules without overrides are equal.
func (p Policy) same(o Policy) bool {
	legs, others := p.RequireLegs, o.RequireLegs
	p.RequireLegs, o.RequireLegs = nil, nil
	return slices.Equal(legs, others) && p.comparable() == o.comparable()
}

// rules are the fields of a Policy without overrides that can be compared with ==.
type rules struct {
	threshold, clearBelow, minCoverage, maxLost float64
	need, of                                    int
	minSpeech, ignoreBelow, maxPaused           time.Duration
	onUnscreened                                Unscreened
	maxUnheard                                  Limit
}

func (p Policy) comparable() rules {
	return rules{
		threshold:    p.Threshold,
		clearBelow:   p.ClearBelow,
		minCoverage:  p.MinCoverage,
		maxLost:      p.MaxLost,
		need:         p.Need,
		of:           p.Of,
		minSpeech:    p.MinSpeech,
		ignoreBelow:  p.IgnoreBelow,
		maxPaused:    p.MaxPaused,
		onUnscreened: p.OnUnscreened,
		maxUnheard:   p.MaxUnheard,
	}
}
