package policy

import "time"

// Outcome is what a call or a leg came to. A greater one is graver.
type Outcome uint8

const (
	OutcomeClear Outcome = iota
	OutcomeInconclusive
	OutcomeFlagged
)

// String returns the name that is used in reports.
func (o Outcome) String() string {
	switch o {
	case OutcomeClear:
		return "clear"
	case OutcomeInconclusive:
		return "inconclusive"
	case OutcomeFlagged:
		return "flagged"
	}
	return "unknown"
}

// The reasons that Decide itself gives. A failed analysis adds the reason of its finding.
const (
	ReasonOverThreshold     = "score_over_threshold"
	ReasonBelowThreshold    = "scores_below_threshold"
	ReasonSuspicious        = "suspicious"
	ReasonTooLittleSpeech   = "too_little_speech"
	ReasonTooLittleCoverage = "too_little_coverage"
	ReasonPending           = "analysis_pending"
	ReasonFailed            = "analysis_failed" // a failed finding that gave no reason
	ReasonInvalidScore      = "invalid_score"
	ReasonUnscreenedAllowed = "unscreened_allowed" // clear only because OnUnscreened is Clear
)

// Decision is what the findings of a call mean under a policy.
type Decision struct {
	Outcome Outcome
	// Review tells whether a person should look: the call is flagged, or inconclusive and not allowed to pass.
	Review bool
	// Reasons are machine-readable, sorted, and never empty.
	Reasons []string
	// Score is the highest valid score of the leg that decided, nil when there is none.
	Score *float64
	// Threshold is the one that Score was compared with, or that of the policy when there is no score.
	Threshold float64
	// Speech and Analysed are sums over all legs: the speech that was heard, and the part of it that has a score.
	Speech, Analysed time.Duration
	// Pending is the number of findings that are not settled. The decision may change until it is 0.
	Pending int
	// Legs has one entry for each leg among the findings, sorted by name.
	Legs []LegDecision
}

// LegDecision is what the findings of one leg mean.
type LegDecision struct {
	Leg              string
	Outcome          Outcome
	Ignored          bool // spoke too little to count, and does not bear on the call
	Suspicious       bool // a score exceeded the threshold, and none since fell below ClearBelow
	Reasons          []string
	Score            *float64 // highest valid score, nil when there is none
	Threshold        float64
	Over             int // how many scores exceed the threshold
	Speech, Analysed time.Duration
}
