package backtest

import (
	"cmp"
	"fmt"

	"callscreen/policy"
)

func (d *Dispositions) add(disposition string) {
	switch disposition {
	case ConfirmedSynthetic:
		d.ConfirmedSynthetic++
	case FalseAlarm:
		d.FalseAlarm++
	case Unsure:
		d.Unsure++
	}
}

// compareTransitions puts what happens most first.
func compareTransitions(a, b Transition) int {
	return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// conclude says what a reader of the result must know. otherwise is how many calls were decided otherwise than the
// current policy decides.
func (r *Result) conclude(o Options, otherwise int) {
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	d, need := r.Dispositions, enough()
	r.Conclusive = d.ConfirmedSynthetic >= need && d.FalseAlarm >= need
	if !r.Conclusive {
		note("Too few dispositions to conclude anything: %d confirmed_synthetic and %d false_alarm. It takes %d of each for intervals of at most ±%.0f points.", d.ConfirmedSynthetic, d.FalseAlarm, need, 100*margin)
	}
	note("Calls that were never flagged have no disposition, unless somebody reviewed them all the same: recall and the false-alarm rate are only about the %d calls that were reviewed (verification bias).", d.ConfirmedSynthetic+d.FalseAlarm)
	if r.Simulated > r.Skipped {
		note("%d calls were simulated: the stand-in detects nothing, their scores mean nothing.", r.Simulated)
	}
	if r.Skipped > 0 {
		note("%d simulated calls are left out.", r.Skipped)
	}
	if r.Unfinished > 0 {
		note("%d calls are left out because their analysis is not finished.", r.Unfinished)
	}
	if otherwise > 0 {
		note("%d calls were decided otherwise than the current policy decides about them: another was in force then.", otherwise)
	}
	if fixed(o.New) {
		note("Overrides of the new policy with a threshold of their own keep it along the curve.")
	}
}

// fixed tells whether an override has a threshold of its own.
func fixed(p policy.Policy) bool {
	for _, o := range p.Overrides {
		if o.Threshold != nil {
			return true
		}
	}
	return false
}
