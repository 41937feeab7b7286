package screen

import (
	"math"

	"callscreen/internal/store"
	"callscreen/policy"
)

// Findings returns the findings of the segments of a call, in the order of [store.Store.Segments], and the number of
// segments that are neither settled nor held. While the call goes on, those are left out: the decision covers what was analysed so
// far. Every decision about stored segments, also a backtest, must use this function.
func Findings(segments []store.SegmentRow, ended bool) (findings []policy.Finding, open int) {
	findings = make([]policy.Finding, 0, len(segments))
	ordinals := map[string]int{}
	for i := range segments {
		g := &segments[i]
		f := policy.Finding{Leg: g.Leg, Seq: -1, Speech: g.Speech, Reason: g.Reason}
		switch g.State {
		case store.SegmentScored:
			f.State, f.Score = policy.Scored, math.NaN() // counts as a failed analysis
			if g.Score != nil {
				f.Score = *g.Score
			}
		case store.SegmentFailed:
			f.State = policy.Failed
		case store.SegmentSkipped:
			f.State = policy.Skipped
			if g.Reason == ReasonMonoSource {
				f.Speech = 0 // the other leg has it
			}
		default:
			if g.Held() {
				f.State = policy.Failed
			} else {
				open++
			}
		}
		if f.State != policy.Skipped {
			f.Seq = ordinals[g.Leg]
			ordinals[g.Leg]++
		}
		if ended || f.State != policy.Pending {
			findings = append(findings, f)
		}
	}
	return findings, open
}
