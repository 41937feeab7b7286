package policy

import (
	"cmp"
	"slices"
	"time"
)

// Call holds all that a decision about a call depends on, apart from the policy.
type Call struct {
	// Findings are the results of the segments. Their order does not matter. Each finding of a leg should have its own Seq.
	Findings []Finding
	// Accounts has the ledger of every leg that was announced. The rules about it do not apply to a leg without one.
	Accounts []Account
	// Metadata has one map where the metadata is certain, and one for each alternative where the legs disagree.
	Metadata []map[string]string
	// LegMetadata replaces Metadata for single legs.
	LegMetadata map[string][]map[string]string
}

// alternatives returns the metadata that may hold for a leg.
func (c Call) alternatives(leg string) []map[string]string {
	if own, ok := c.LegMetadata[leg]; ok {
		return own
	}
	return c.Metadata
}

// Decide applies the policy to the findings of a call of which nothing else is known.
func (p Policy) Decide(findings []Finding, metadata map[string]string) Decision {
	return p.DecideCall(Call{Findings: findings, Metadata: []map[string]string{metadata}})
}

// DecideCall applies the policy to one call. It neither changes nor keeps the call.
//
// It accepts any input, including no findings at all: the call is then inconclusive, and its Score is nil.
func (p Policy) DecideCall(c Call) Decision {
	byLeg := groups(c.Findings)
	call := p.strictest("", c.Metadata)
	accounts := map[string]Account{}
	for _, a := range c.Accounts {
		accounts[a.Leg] = a
		if _, ok := byLeg[a.Leg]; !ok {
			byLeg[a.Leg] = nil
		}
	}
	for _, leg := range call.RequireLegs {
		if _, ok := byLeg[leg]; !ok {
			byLeg[leg] = nil
		}
	}
	d := Decision{Threshold: call.Threshold}
	review := call.OnUnscreened == Review
	heard := false
	for _, leg := range sortedKeys(byLeg) {
		rules := p.strictest(leg, c.alternatives(leg))
		for _, metadata := range c.alternatives(leg) {
			d.Disputed = d.Disputed || !rules.same(p.For(leg, metadata))
		}
		l := rules.decideLeg(leg, byLeg[leg])
		if account, ok := accounts[leg]; ok {
			rules.apply(&l, account, byLeg[leg])
		}
		if slices.Contains(call.RequireLegs, leg) {
			l.require(len(byLeg[leg]) > 0 || accounts[leg].Leg != "")
		}
		d.Legs = append(d.Legs, l)
		d.Speech += l.Speech
		d.Analysed += l.Analysed
		for _, f := range byLeg[leg] {
			if f.State == Pending {
				d.Pending++
			}
		}
		if l.Ignored {
			continue
		}
		if !heard { // the first leg that counts replaces the default of the call
			heard, review = true, false
		}
		if l.Outcome == OutcomeInconclusive && rules.OnUnscreened == Review {
			review = true
		}
		d.Outcome = max(d.Outcome, l.Outcome)
	}
	if call.OnUnscreened == Review && d.boundIgnored(call.MaxUnheard) {
		heard, review = true, true
	}
	if !heard {
		d.Outcome = OutcomeInconclusive
		d.Reasons = []string{ReasonTooLittleSpeech}
		d.Review = review
		for _, l := range d.Legs {
			d.take(l)
		}
		return d
	}
	d.Review = d.Outcome == OutcomeFlagged || d.Outcome == OutcomeInconclusive && review
	for _, l := range d.Legs {
		if l.Ignored || l.Outcome != d.Outcome {
			continue
		}
		d.Reasons = append(d.Reasons, l.Reasons...)
		d.take(l)
	}
	slices.Sort(d.Reasons)
	d.Reasons = slices.Compact(d.Reasons)
	return d
}

// groups returns sorted copies of findings by their legs.
func groups(findings []Finding) map[string][]Finding {
	all := slices.Clone(findings)
	slices.SortFunc(all, func(a, b Finding) int {
		if a.Leg != b.Leg {
			return cmp.Compare(a.Leg, b.Leg)
		}
		return compareFindings(a, b)
	})
	byLeg := map[string][]Finding{}
	for first := 0; first < len(all); {
		next := first + 1
		for next < len(all) && all[next].Leg == all[first].Leg {
			next++
		}
		byLeg[all[first].Leg] = all[first:next:next]
		first = next
	}
	return byLeg
}

// sortedKeys does what slices.Sorted(maps.Keys(m)) does, with one allocation.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// apply adds the ledger of a leg to its decision. The ledger can only turn clear into inconclusive.
func (p Policy) apply(l *LegDecision, a Account, findings []Finding) {
	reasons := map[string]bool{}
	var unanalysed time.Duration
	for _, f := range findings {
		if f.State == Skipped && f.Reason != ReasonSampled {
			unanalysed += f.Speech
		}
	}
	if l.Ignored {
		unanalysed = 0 // too little to be speech
	}
	p.accountReasons(a, unanalysed, reasons)
	if l.Ignored || len(findings) == 0 {
		if reason, ok := p.silent(a); !ok {
			reasons[reason] = true
		}
	}
	if len(reasons) == 0 {
		if len(findings) == 0 {
			l.Ignored = true
		}
		return
	}
	l.Ignored = false
	if l.Outcome == OutcomeFlagged {
		return
	}
	for _, r := range l.Reasons {
		if r != ReasonBelowThreshold && r != ReasonUnscreenedAllowed && (r != ReasonTooLittleSpeech || l.Analysed > 0) {
			reasons[r] = true
		}
	}
	l.Reasons, l.Outcome = sortedKeys(reasons), OutcomeInconclusive
	if p.OnUnscreened == Clear && l.Analysed > 0 && l.Analysed >= p.MinSpeech && !l.Suspicious && !reasons[ReasonPending] {
		l.Outcome = OutcomeClear
		l.Reasons = slices.Sorted(slices.Values(append(l.Reasons, ReasonUnscreenedAllowed)))
	}
}

// boundIgnored makes a call inconclusive if the speech of all legs that were ignored exceeds the limit: speech that changes
// from leg to leg is too little in each of them. It reports whether it did.
func (d *Decision) boundIgnored(limit Limit) bool {
	var ignored time.Duration
	for _, l := range d.Legs {
		if l.Ignored {
			ignored += l.Speech
		}
	}
	if ignored == 0 || !limit.exceeded(ignored, d.Speech) {
		return false
	}
	for i := range d.Legs {
		if l := &d.Legs[i]; l.Ignored && l.Speech > 0 {
			l.Ignored, l.Outcome, l.Reasons = false, OutcomeInconclusive, []string{ReasonTooLittleSpeech}
		}
	}
	d.Outcome = max(d.Outcome, OutcomeInconclusive)
	return true
}

// require keeps a required leg from being ignored. present reports whether the call has the leg.
func (l *LegDecision) require(present bool) {
	switch {
	case !present:
		l.Ignored, l.Outcome, l.Reasons = false, OutcomeInconclusive, []string{ReasonMissingLeg}
	case l.Ignored:
		l.Ignored, l.Outcome, l.Reasons = false, OutcomeInconclusive, []string{ReasonTooLittleSpeech}
	}
}

// take copies the score of a leg, with its threshold, if it is the highest so far.
func (d *Decision) take(l LegDecision) {
	if l.Score != nil && (d.Score == nil || *l.Score > *d.Score) {
		d.Score, d.Threshold = l.Score, l.Threshold
	}
}

// decideLeg decides one leg by its sorted findings. The overrides of that leg must already be applied to p.
func (p Policy) decideLeg(name string, findings []Finding) LegDecision {
	l := LegDecision{Leg: name, Threshold: p.Threshold}
	for _, f := range findings {
		l.Speech += f.Speech
		if f.scored() {
			l.Analysed += f.Speech
			if f.Score > p.Threshold {
				l.Over++
			}
			if l.Score == nil || f.Score > *l.Score {
				score := f.Score
				l.Score = &score
			}
		}
	}
	known := func(f Finding) (float64, bool) { return f.Score, f.scored() }
	// Assume the highest possible score for every segment without one. If the outcome stays the same, those segments do
	// not matter.
	worst := func(f Finding) (float64, bool) {
		if f.open() {
			return 1, true
		}
		return known(f)
	}
	l.Suspicious = p.suspicious(findings, known)
	reasons := map[string]bool{}
	switch {
	case p.flagged(findings, known):
		l.Outcome = OutcomeFlagged
		reasons[ReasonOverThreshold] = true
	default:
		unknown := time.Duration(0) // speech whose failed analysis is a reason of its own
		if p.flagged(findings, worst) || p.suspicious(findings, worst) {
			for _, f := range findings {
				if f.open() {
					reasons[f.openReason()] = true
					unknown += f.Speech
				}
			}
		}
		if l.Suspicious {
			reasons[ReasonSuspicious] = true
		}
		if l.Analysed < p.MinSpeech || l.Analysed == 0 {
			reasons[ReasonTooLittleSpeech] = true
		} else if !p.covered(l.Analysed, l.Speech-unknown) {
			reasons[ReasonTooLittleCoverage] = true
		}
		p.settle(&l, findings, reasons)
	}
	l.Ignored = l.Speech < p.IgnoreBelow && !slices.ContainsFunc(findings, func(f Finding) bool { return f.State != Skipped })
	l.Reasons = sortedKeys(reasons)
	return l
}

// settle sets the outcome of a leg that is not flagged, from the reasons that count against a clear outcome.
func (p Policy) settle(l *LegDecision, findings []Finding, reasons map[string]bool) {
	if reasons[ReasonTooLittleSpeech] && len(reasons) > 1 && submitted(findings) >= p.MinSpeech {
		// Enough speech was submitted, but its analysis failed. The operator can act on the failure, so that is the reason to
		// report.
		delete(reasons, ReasonTooLittleSpeech)
	}
	if len(reasons) == 0 {
		l.Outcome = OutcomeClear
		reasons[ReasonBelowThreshold] = true
		return
	}
	l.Outcome = OutcomeInconclusive
	enough := l.Analysed > 0 && l.Analysed >= p.MinSpeech
	if p.OnUnscreened == Clear && enough && !l.Suspicious && !reasons[ReasonPending] {
		l.Outcome = OutcomeClear
		reasons[ReasonUnscreenedAllowed] = true
	}
}

// covered reports whether enough of the speech was analysed.
func (p Policy) covered(analysed, speech time.Duration) bool {
	return float64(analysed) >= p.MinCoverage*float64(speech) || speech-analysed <= p.MaxUnheard.Absolute
}

// submitted returns the total speech of the segments that were not skipped.
func submitted(findings []Finding) (speech time.Duration) {
	for _, f := range findings {
		if f.State != Skipped {
			speech += f.Speech
		}
	}
	return speech
}

func compareFindings(a, b Finding) int {
	if a.Seq != b.Seq {
		return cmp.Compare(a.Seq, b.Seq)
	}
	return cmp.Or(
		cmp.Compare(a.State, b.State),
		cmp.Compare(a.Score, b.Score),
		cmp.Compare(a.Speech, b.Speech),
		cmp.Compare(a.Reason, b.Reason),
	)
}

func (f Finding) openReason() string {
	switch {
	case f.State == Pending:
		return ReasonPending
	case f.State == Scored:
		return ReasonInvalidScore
	case f.Reason != "":
		return f.Reason
	}
	return ReasonFailed
}

// flagged reports whether at least Need scores exceed the threshold, within Of consecutive segments if Of is set. The
// window counts segment numbers, not the findings at hand, so a finding that arrives late cannot push two others apart.
func (p Policy) flagged(findings []Finding, score func(Finding) (float64, bool)) bool {
	var over []int
	for _, f := range findings {
		if s, ok := score(f); ok && s > p.Threshold {
			over = append(over, f.Seq)
		}
	}
	if p.Of == 0 {
		return len(over) >= p.Need
	}
	for i := 0; i+p.Need <= len(over); i++ {
		if over[i+p.Need-1]-over[i] < p.Of {
			return true
		}
	}
	return false
}

// suspicious reports whether the last score outside the band between ClearBelow and the threshold was above the band.
func (p Policy) suspicious(findings []Finding, score func(Finding) (float64, bool)) bool {
	s := false
	for _, f := range findings {
		v, ok := score(f)
		switch {
		case !ok:
		case v > p.Threshold:
			s = true
		case v < p.ClearBelow:
			s = false
		}
	}
	return s
}
