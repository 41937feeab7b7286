package screen

import (
	"context"
	"errors"
	"slices"
	"time"

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

// late is the outcome of an earlier call with the same id that was not decided when the next one began.
type late struct {
	report report.Report
	open   int // segments without a result
}

// lateOutcome returns the gravest outcome of the earlier calls whose last segments were settled after the next call with the
// id had begun. An outcome that a person has closed since does not count.
func (d *Decider) lateOutcome(
	ctx context.Context,
	tx *store.Tx,
	c *store.Call,
	parts []store.Part,
	segments []store.SegmentRow,
) (gravest late, err error) {
	for number := 1; number < c.Number; number++ {
		settled, open := settledAfter(number, parts, segments)
		if settled.IsZero() && open == 0 {
			continue
		}
		review, err := tx.Review(ctx, c.ID)
		if err != nil && !errors.Is(err, store.ErrNoReview) {
			return late{}, err
		}
		if err == nil && open == 0 && review.State == store.ReviewClosed && review.ClosedAt.After(settled) {
			continue
		}
		earlier := *c
		earlier.Number = number
		r, _, _ := d.judge(&earlier, parts, segments, true)
		gravest.open += open
		if r.Review && gravity(r.Decision) > gravity(gravest.report.Decision) {
			gravest.report = r
		}
	}
	return gravest, nil
}

// settledAfter returns when the last segment of a call was settled, zero if that was before the next call with its id began,
// and the number of its segments that are not settled.
func settledAfter(number int, parts []store.Part, segments []store.SegmentRow) (last time.Time, open int) {
	var next time.Time
	for _, p := range parts {
		if at := time.UnixMilli(p.Part); p.Number > number && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	_, own := ofNumber(number, parts, segments)
	for i := range own {
		switch g := &own[i]; {
		case !g.Settled():
			open++
		case g.SettledAt.After(next) && g.SettledAt.After(last):
			last = g.SettledAt
		}
	}
	return last, open
}

// carryLate adds the outcome of an earlier call that was decided late, unless this one is worse.
func carryLate(l late, r *report.Report) {
	if gravity(l.report.Decision) <= gravity(r.Decision) {
		return
	}
	r.Decision, r.Review, r.Score, r.Threshold = l.report.Decision, true, l.report.Score, l.report.Threshold
	r.Reasons = append(slices.Clone(l.report.Reasons), reasonEarlierCall)
	slices.Sort(r.Reasons)
	r.Reasons = slices.Compact(r.Reasons)
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
func worse(ctx context.Context, tx *store.Tx, call string, before, now report.Report, segments []store.SegmentRow) (bool, error) {
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
