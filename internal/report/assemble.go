package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"callscreen/policy"
)

// LegAccount holds the length of a leg and the amount of lost audio.
type LegAccount struct {
	Duration time.Duration // of the leg, gaps included
	Lost     time.Duration // the part of it that never arrived
	// Ledger is nil where it is not known: the leg was recorded by a version that kept none.
	Ledger *Ledger
}

// Add adds the account of a later part of the same leg, which starts after shift.
func (a LegAccount) Add(o LegAccount, shift time.Duration) LegAccount {
	sum := LegAccount{Duration: a.Duration + o.Duration, Lost: a.Lost + o.Lost}
	if a.Ledger != nil && o.Ledger != nil {
		sum.Ledger = a.Ledger.Clone()
		sum.Ledger.Add(o.Ledger, shift)
	}
	return sum
}

// Shift returns the account of a leg whose recording starts by d after the call: the places in its ledger are later by d.
func (a LegAccount) Shift(d time.Duration) LegAccount {
	if a.Ledger != nil && d != 0 {
		moved := &Ledger{}
		moved.Add(a.Ledger, d)
		a.Ledger = moved
	}
	return a
}

// Facts are what a call is decided by.
type Facts struct {
	Findings []policy.Finding
	Legs     map[string]LegAccount
	// Metadata has one map where the metadata is certain, and one for each alternative where the legs disagree.
	Metadata []map[string]string
	// LegMetadata replaces Metadata for single legs.
	LegMetadata map[string][]map[string]string
}

// Call returns the facts in the form that the policy reads. A leg whose ledger is not known has no account; the others keep
// theirs.
func (f Facts) Call() policy.Call {
	c := policy.Call{Findings: f.Findings, Metadata: f.Metadata, LegMetadata: f.LegMetadata}
	for name, a := range f.Legs {
		if a.Ledger != nil {
			c.Accounts = append(c.Accounts, a.Ledger.account(name, a.Lost))
		}
	}
	return c
}

const warnDisputed = "the legs disagree about metadata that policy.overrides look at; the strictest matching rules were applied"

// Assemble decides a call and returns its report, without segments and identity.
func Assemble(p policy.Policy, f Facts) Report {
	d := p.DecideCall(f.Call())
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
	if d.Disputed {
		r.Warnings = append(r.Warnings, warnDisputed)
	}
	decided := map[string]policy.LegDecision{}
	names := slices.Collect(maps.Keys(f.Legs))
	for _, l := range d.Legs {
		decided[l.Leg] = l
		names = append(names, l.Leg) // also a required leg that is missing
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		leg := legReport(name, f.Legs[name], decided[name])
		if l, ok := decided[name]; !ok || l.Ignored {
			leg.Decision, leg.Ignored, leg.Reasons = policy.OutcomeInconclusive.String(), true, []string{policy.ReasonTooLittleSpeech}
			if !ok {
				leg.Threshold = p.For(name, first(f.Metadata)).Threshold
			}
		}
		r.add(leg)
	}
	return r
}

func first(metadata []map[string]string) map[string]string {
	if len(metadata) == 0 {
		return nil
	}
	return metadata[0]
}

func legReport(name string, account LegAccount, l policy.LegDecision) LegReport {
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
		Recorded:  Seconds(max(account.Duration-account.Lost, 0)),
	}
	if ledger := account.Ledger; ledger != nil {
		leg.Recorded, leg.Paused = ledger.Recorded, ledger.Paused
		leg.Unrecorded, leg.Unread = total(ledger.Unrecorded), total(ledger.Unread)
		leg.Unheard, leg.Ledger = ledger.Unheard(), ledger
	}
	if leg.Unheard == nil {
		leg.Unheard = map[string]Seconds{}
	}
	return leg
}

// add adds a leg and its times. The legs of a recording share its unread audio.
func (r *Report) add(leg LegReport) {
	r.Legs = append(r.Legs, leg)
	r.Duration = max(r.Duration, leg.Duration)
	r.Lost += leg.Lost
	r.Unrecorded += leg.Unrecorded
	r.Paused += leg.Paused
	r.Unread = max(r.Unread, leg.Unread)
}

// SortSegments puts segments in the order of the call.
func SortSegments(segments []SegmentReport) {
	slices.SortStableFunc(segments, func(a, b SegmentReport) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Leg, b.Leg), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.ID, b.ID))
	})
}
