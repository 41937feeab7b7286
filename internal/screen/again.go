package screen

import (
	"context"
	"errors"
	"slices"

	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// reasonEarlierCall is the reason of an outcome that an earlier call with the same id had and no person has closed.
const reasonEarlierCall = "earlier_call"

// carry keeps the outcome of an earlier call with the same id, unless this one is worse.
func carry(c *store.Call, r *report.Report) {
	if gravity(c.Carried) <= gravity(r.Decision) {
		return
	}
	r.Decision, r.Review = c.Carried, true
	r.Reasons = append(slices.Clone(r.Reasons), reasonEarlierCall)
	slices.Sort(r.Reasons)
}

// keepFlags keeps the flags of single legs.
func keepFlags(r *report.Report, before report.Report) {
	flagged := policy.OutcomeFlagged.String()
	for _, b := range before.Legs {
		for i := range r.Legs {
			if l := &r.Legs[i]; l.Leg == b.Leg && b.Decision == flagged && l.Decision != flagged {
				l.Decision, l.Score, l.Threshold, l.Reasons, l.Ignored = flagged, b.Score, b.Threshold, b.Reasons, false
			}
		}
	}
}

// gravity orders the outcomes.
func gravity(outcome string) int {
	return slices.Index([]string{policy.OutcomeClear.String(), policy.OutcomeInconclusive.String(), policy.OutcomeFlagged.String()}, outcome)
}

// worse reports whether a call that was announced as flagged has become worse: another leg is over its threshold, or after
// a person has closed the review a leg got a higher score than before.
func worse(ctx context.Context, tx *store.Tx, call string, before, now report.Report, segments []store.Segment) (bool, error) {
	flagged := policy.OutcomeFlagged.String()
	was := map[string]bool{}
	for _, l := range before.Legs {
		was[l.Leg] = l.Decision == flagged
	}
	for _, l := range now.Legs {
		if l.Decision == flagged && !was[l.Leg] {
			return true, nil
		}
	}
	review, err := tx.Review(ctx, call)
	if errors.Is(err, store.ErrNoReview) || err == nil && review.State != store.ReviewClosed {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, l := range now.Legs {
		var heard, since float64
		for i := range segments {
			g := &segments[i]
			if g.Leg != l.Leg || g.Score == nil || g.State != store.SegmentScored {
				continue
			}
			if g.SettledAt.After(review.ClosedAt) {
				since = max(since, *g.Score)
			} else {
				heard = max(heard, *g.Score)
			}
		}
		if l.Decision == flagged && since > l.Threshold && since > heard {
			return true, nil
		}
	}
	return false, nil
}
