// Package backtest answers what another policy would have decided about calls of the past, and how well it would have
// done by what people made of them. It is pure: calls come from an iterator, nothing is asked of the analysis API.
package backtest

import (
	"fmt"
	"iter"
	"slices"

	"callscreen/policy"
)

// What a person can make of a call. Anything else counts for nothing.
const (
	ConfirmedSynthetic = "confirmed_synthetic"
	FalseAlarm         = "false_alarm"
	Unsure             = "unsure"
)

// Call is a call that has ended.
type Call struct {
	ID          string
	Findings    []policy.Finding
	Metadata    map[string]string
	Simulated   bool   // its scores are made up
	Decision    string // what was decided then: "flagged", "inconclusive" or "clear"
	Review      bool   // whether a person was asked then
	Disposition string // "" if there is none
}

// Options say what is compared.
type Options struct {
	// Current is the policy in force, New the one that is tried.
	Current, New policy.Policy
	// FalseAlarmRate is what a threshold is looked for. Default 0.01.
	FalseAlarmRate float64
	// Show is how many calls that would change are listed at most.
	Show int
	// SkipSimulated leaves calls out whose scores are made up.
	SkipSimulated bool
}

// Result is what another policy would have decided.
type Result struct {
	Calls        int          `json:"calls"`      // that were decided anew
	Findings     int          `json:"findings"`   // on which that was done
	Unfinished   int          `json:"unfinished"` // calls left out because their analysis goes on
	Simulated    int          `json:"simulated"`  // calls whose scores are made up
	Skipped      int          `json:"skipped"`    // of these, left out
	Dispositions Dispositions `json:"dispositions"`

	Decided Outcomes `json:"decided"` // then, by whatever policy was in force
	Current Side     `json:"current"`
	New     Side     `json:"new"`

	// Changed counts the calls that the new policy decides otherwise than was decided then, ChangedFromCurrent those that
	// it decides otherwise than the current policy would.
	Changed            int          `json:"changed"`
	ChangedFromCurrent int          `json:"changed_from_current"`
	Transitions        []Transition `json:"transitions"`
	Changes            []Change     `json:"changes"` // the first of them
	Reviewed           Shift        `json:"reviewed"`

	Curve      []Point  `json:"curve"`
	Target     Target   `json:"target"`
	Conclusive bool     `json:"conclusive"` // there are dispositions enough to say something
	Notes      []string `json:"notes"`      // what a reader must know, a sentence or two each
}

// Dispositions counts what people made of the calls.
type Dispositions struct {
	ConfirmedSynthetic int `json:"confirmed_synthetic"`
	FalseAlarm         int `json:"false_alarm"`
	Unsure             int `json:"unsure"`
}

// Outcomes counts what was decided.
type Outcomes struct {
	Flagged      int `json:"flagged"`
	Inconclusive int `json:"inconclusive"`
	Clear        int `json:"clear"`
	Review       int `json:"review"` // calls before a person
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

// Side is how a policy does.
type Side struct {
	Outcomes
	Threshold float64 `json:"threshold"`
	// Precision is the share of confirmed ones among the flagged calls that were reviewed.
	Precision Rate `json:"precision"`
	// Recall is the share of flagged ones among the confirmed calls.
	Recall Rate `json:"recall"`
	// FalseAlarmRate is the share of flagged ones among the calls that a person found to be false alarms.
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

// Change is a call that would be decided otherwise.
type Change struct {
	Call        string `json:"call"`
	From        string `json:"from"`    // what was decided then
	Current     string `json:"current"` // what the current policy decides
	To          string `json:"to"`
	Disposition string `json:"disposition"`
}

// Shift is what the new policy changes for the calls that were reviewed, against the current one.
type Shift struct {
	ConfirmedLost      int `json:"confirmed_lost"` // confirmed ones that are not flagged any more
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

// Run decides the calls anew. What it keeps of each call is one number for the curve, besides the changes that are listed.
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
		after := o.New.Decide(c.Findings, c.Metadata)
		if after.Pending > 0 {
			r.Unfinished++
			continue
		}
		before := o.Current.Decide(c.Findings, c.Metadata)
		r.Calls++
		r.Findings += len(c.Findings)
		r.Dispositions.add(c.Disposition)
		r.Decided.add(c.Decision, c.Review)
		r.Current.add(before, c.Disposition)
		r.New.add(after, c.Disposition)
		r.Reviewed.add(before.Outcome, after.Outcome, c.Disposition)
		s.add(Tipping(o.New, c.Findings, c.Metadata), c.Disposition)
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
