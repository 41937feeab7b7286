package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"callscreen/policy"
)

// LegAccount is how much of a leg was received.
type LegAccount struct {
	Duration time.Duration // of the leg, gaps included
	Lost     time.Duration // the part of it that never arrived
}

// Assemble decides a call and returns its report, without segments and identity.
func Assemble(p policy.Policy, metadata map[string]string, findings []policy.Finding, legs map[string]LegAccount) Report {
	d := p.Decide(findings, metadata)
	r := Report{
		Decision:  d.Outcome.String(),
		Review:    d.Review,
		Score:     d.Score,
		Threshold: d.Threshold,
		Reasons:   d.Reasons,
		Speech:    Seconds(d.Speech),
		Analysed:  Seconds(d.Analysed),
		Legs:      []LegReport{},
		Segments:  []SegmentReport{},
	}
	decided := map[string]policy.LegDecision{}
	for _, l := range d.Legs {
		decided[l.Leg] = l
	}
	for _, name := range slices.Sorted(maps.Keys(legs)) {
		account, l := legs[name], decided[name]
		leg := LegReport{
			Leg:       name,
			Decision:  l.Outcome.String(),
			Ignored:   l.Ignored,
			Reasons:   l.Reasons,
			Score:     l.Score,
			Threshold: l.Threshold,
			Duration:  Seconds(account.Duration),
			Speech:    Seconds(l.Speech),
			Analysed:  Seconds(l.Analysed),
			Lost:      Seconds(account.Lost),
		}
		if _, heard := decided[name]; !heard || l.Ignored {
			leg.Decision, leg.Ignored, leg.Reasons = policy.OutcomeInconclusive.String(), true, []string{policy.ReasonTooLittleSpeech}
			leg.Threshold = p.For(name, metadata).Threshold
		}
		r.Legs = append(r.Legs, leg)
		r.Duration = max(r.Duration, leg.Duration)
		r.Lost += leg.Lost
	}
	return r
}

// SortSegments puts segments in the order of the call.
func SortSegments(segments []SegmentReport) {
	slices.SortStableFunc(segments, func(a, b SegmentReport) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Leg, b.Leg), cmp.Compare(a.Seq, b.Seq))
	})
}
