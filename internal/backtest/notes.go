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

// compareTransitions sorts frequent transitions first.
func compareTransitions(a, b Transition) int {
	return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
}

// conclude adds the notes for the reader. otherwise is the number of calls whose stored decision differs from that of
// the current policy.
func (r *Result) conclude(o Options, otherwise int) {
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	d, need := r.Dispositions, enough()
	r.Conclusive = d.ConfirmedSynthetic >= need && d.FalseAlarm >= need
	if !r.Conclusive {
		note(
			"Too few dispositions to conclude anything: %d confirmed_synthetic and %d false_alarm. "+
				"It takes %d of each for intervals of at most ±%.0f points.",
			d.ConfirmedSynthetic,
			d.FalseAlarm,
			need,
			100*margin,
		)
	}
	note(
		"Calls that were never flagged have no disposition, unless a reviewer looked at them: "+
			"recall and the false-alarm rate only describe %s reviewed (verification bias).",
		plural(d.ConfirmedSynthetic+d.FalseAlarm, "call that was", "calls that were"),
	)
	if r.Unknown > 0 {
		note("The ledger of %s not known (recorded by an earlier version): the rules about unheard, lost and paused audio were not applied.",
			plural(r.Unknown, "call is", "calls are"))
	}
	if r.Simulated > r.Skipped {
		note("%s simulated: the stand-in detects nothing, its scores mean nothing.", plural(r.Simulated, "call was", "calls were"))
	}
	if r.Skipped > 0 {
		note("%s left out.", plural(r.Skipped, "simulated call is", "simulated calls are"))
	}
	if r.Unfinished > 0 {
		note("%s left out because the analysis is not finished.", plural(r.Unfinished, "call is", "calls are"))
	}
	if otherwise > 0 {
		note("%s from that of the current policy: another policy was in use "+
			"then.", plural(otherwise, "stored decision differs", "stored decisions differ"))
	}
	if fixed(o.New) {
		note("Overrides of the new policy with a threshold of their own keep it along the curve.")
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// fixed reports whether an override has its own threshold.
func fixed(p policy.Policy) bool {
	for _, o := range p.Overrides {
		if o.Threshold != nil {
			return true
		}
	}
	return false
}
