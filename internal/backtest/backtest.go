// Package backtest applies another policy to past calls, and evaluates both policies against the dispositions of the
// reviewed calls. It is pure: calls come from an iterator, and the analysis API is not used.
package backtest

import (
	"fmt"
	"iter"
	"slices"

	"callscreen/policy"
)

// Dispositions that count. Any other value is ignored.
const (
	ConfirmedSynthetic = "confirmed_synthetic"
	FalseAlarm         = "false_alarm"
	Unsure             = "unsure"
)

// Call is an ended call.
type Call struct {
	ID string
	policy.Call
	Simulated   bool   // scored by the simulator
	Decision    string // stored decision: "flagged", "inconclusive" or "clear"
	Review      bool   // queued for review
	Disposition string // "" if not reviewed
}

// Options configures a comparison.
type Options struct {
	// Current is the policy in use, New the one to evaluate.
	Current, New policy.Policy
	// FalseAlarmRate is the rate that the target threshold must keep. Default: 0.01.
	FalseAlarmRate float64
	// Show is the maximum number of changed calls to list.
	Show int
	// SkipSimulated skips calls that were scored by the simulator.
	SkipSimulated bool
}

// Result is the outcome of a comparison.
type Result struct {
	Calls        int          `json:"calls"`      // calls decided by both policies
	Findings     int          `json:"findings"`   // findings of these calls
	Unfinished   int          `json:"unfinished"` // calls skipped because their analysis is not finished
	Simulated    int          `json:"simulated"`  // calls scored by the simulator
	Skipped      int          `json:"skipped"`    // of these, skipped
	Unknown      int          `json:"unknown"`    // calls whose ledger is not known: the rules about it do not apply
	Dispositions Dispositions `json:"dispositions"`

	Decided Outcomes `json:"decided"` // stored decisions, by the policy in use at the time
	Current Side     `json:"current"`
	New     Side     `json:"new"`

	// Changed counts the calls that the new policy decides differently from the stored decision. ChangedFromCurrent counts
	// those that it decides differently from the current policy.
	Changed            int          `json:"changed"`
	ChangedFromCurrent int          `json:"changed_from_current"`
	Transitions        []Transition `json:"transitions"`
	Changes            []Change     `json:"changes"` // at most Options.Show calls
	Reviewed           Shift        `json:"reviewed"`

	Curve      []Point  `json:"curve"`
	Target     Target   `json:"target"`
	Conclusive bool     `json:"conclusive"` // there are enough dispositions for a conclusion
	Notes      []string `json:"notes"`      // remarks for the reader, one or two sentences each
}

// Dispositions counts the reviewed calls by disposition.
type Dispositions struct {
	ConfirmedSynthetic int `json:"confirmed_synthetic"`
	FalseAlarm         int `json:"false_alarm"`
	Unsure             int `json:"unsure"`
}

// Outcomes counts decisions.
type Outcomes struct {
	Flagged      int `json:"flagged"`
	Inconclusive int `json:"inconclusive"`
	Clear        int `json:"clear"`
	Review       int `json:"review"` // calls queued for review
}

func (o *Outcomes) add(outcome string, review bool) {
	switch outcome {
	case policy.OutcomeFlagged.String():
		o.Flagged++
	case policy.OutcomeClear.String():
		o.Clear++
	default:
		o.Inconclusive++
	}
	if review {
		o.Review++
	}
}

// Side is the evaluation of one policy.
type Side struct {
	Outcomes
	Threshold float64 `json:"threshold"`
	// Precision is the share of confirmed calls among the flagged calls that were reviewed.
	Precision Rate `json:"precision"`
	// Recall is the share of flagged calls among the confirmed calls.
	Recall Rate `json:"recall"`
	// FalseAlarmRate is the share of flagged calls among the calls with the disposition false_alarm.
	FalseAlarmRate Rate `json:"false_alarm_rate"`
}

func (s *Side) add(d policy.Decision, disposition string) {
	s.Outcomes.add(d.Outcome.String(), d.Review)
	flagged := 0
	if d.Outcome == policy.OutcomeFlagged {
		flagged = 1
	}
	switch disposition {
	case ConfirmedSynthetic:
		s.Recall.Of++
		s.Recall.Count += flagged
		s.Precision.Of += flagged
		s.Precision.Count += flagged
	case FalseAlarm:
		s.FalseAlarmRate.Of++
		s.FalseAlarmRate.Count += flagged
		s.Precision.Of += flagged
	}
}

// Transition counts the calls that change from one outcome to another.
type Transition struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Calls int    `json:"calls"`
}

// Change is a call whose decision changes.
type Change struct {
	Call        string `json:"call"`
	From        string `json:"from"`    // stored decision
	Current     string `json:"current"` // decision of the current policy
	To          string `json:"to"`
	Disposition string `json:"disposition"`
}

// Shift is the effect of the new policy on reviewed calls, compared with the current policy.
type Shift struct {
	ConfirmedLost      int `json:"confirmed_lost"` // confirmed calls that are no longer flagged
	ConfirmedGained    int `json:"confirmed_gained"`
	FalseAlarmsAvoided int `json:"false_alarms_avoided"`
	FalseAlarmsAdded   int `json:"false_alarms_added"`
}

func (s *Shift) add(before, after policy.Outcome, disposition string) {
	was, is := before == policy.OutcomeFlagged, after == policy.OutcomeFlagged
	switch {
	case was == is:
	case disposition == ConfirmedSynthetic && was:
		s.ConfirmedLost++
	case disposition == ConfirmedSynthetic:
		s.ConfirmedGained++
	case disposition == FalseAlarm && was:
		s.FalseAlarmsAvoided++
	case disposition == FalseAlarm:
		s.FalseAlarmsAdded++
	}
}

// Run decides the calls by both policies. It keeps one number per call for the curve, and the listed changes.
func Run(calls iter.Seq2[Call, error], o Options) (Result, error) {
	if o.FalseAlarmRate == 0 {
		o.FalseAlarmRate = 0.01
	}
	if !(o.FalseAlarmRate > 0 && o.FalseAlarmRate < 1) {
		return Result{}, fmt.Errorf("the false-alarm rate is %v, must be between 0 and 1", o.FalseAlarmRate)
	}
	r := Result{
		Current:     Side{Threshold: o.Current.Threshold},
		New:         Side{Threshold: o.New.Threshold},
		Transitions: []Transition{},
		Changes:     []Change{},
		Notes:       []string{},
	}
	var s sweep
	transitions := map[[2]string]int{}
	otherwise := 0
	for c, err := range calls {
		if err != nil {
			return Result{}, err
		}
		if c.Simulated {
			r.Simulated++
			if o.SkipSimulated {
				r.Skipped++
				continue
			}
		}
		after := o.New.DecideCall(c.Call)
		if after.Pending > 0 {
			r.Unfinished++
			continue
		}
		before := o.Current.DecideCall(c.Call)
		r.Calls++
		r.Findings += len(c.Findings)
		if c.Accounts == nil {
			r.Unknown++
		}
		r.Dispositions.add(c.Disposition)
		r.Decided.add(c.Decision, c.Review)
		r.Current.add(before, c.Disposition)
		r.New.add(after, c.Disposition)
		r.Reviewed.add(before.Outcome, after.Outcome, c.Disposition)
		s.add(tipping(o.New, c.Call), c.Disposition)
		from, current, to := c.Decision, before.Outcome.String(), after.Outcome.String()
		if current != to {
			r.ChangedFromCurrent++
		}
		if from != current {
			otherwise++
		}
		if from == to {
			continue
		}
		r.Changed++
		transitions[[2]string{from, to}]++
		if len(r.Changes) < o.Show {
			r.Changes = append(r.Changes, Change{
				Call:        c.ID,
				From:        from,
				Current:     current,
				To:          to,
				Disposition: c.Disposition,
			})
		}
	}
	for t, n := range transitions {
		r.Transitions = append(r.Transitions, Transition{From: t[0], To: t[1], Calls: n})
	}
	slices.SortFunc(r.Transitions, compareTransitions)
	s.sort()
	r.Target = s.target(o.FalseAlarmRate)
	r.Curve = s.curve(o.Current.Threshold, o.New.Threshold, r.Target.Threshold)
	r.conclude(o, otherwise)
	return r, nil
}
