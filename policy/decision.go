package policy

import "time"

// Outcome is the result of a call or a leg. The values are ordered by gravity: clear, inconclusive, flagged.
type Outcome uint8

const (
	OutcomeClear Outcome = iota
	OutcomeInconclusive
	OutcomeFlagged
)

// String returns the name used in reports: "clear", "inconclusive" or "flagged".
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

// Reasons given by Decide. A failed analysis adds the reason of its finding.
const (
	ReasonOverThreshold     = "score_over_threshold"
	ReasonBelowThreshold    = "scores_below_threshold"
	ReasonSuspicious        = "suspicious"
	ReasonTooLittleSpeech   = "too_little_speech"
	ReasonTooLittleCoverage = "too_little_coverage"
	ReasonPending           = "analysis_pending"
	ReasonFailed            = "analysis_failed" // a failed finding without a reason
	ReasonInvalidScore      = "invalid_score"
	ReasonUnscreenedAllowed = "unscreened_allowed" // clear only because Policy.OnUnscreened is Clear
	ReasonMissingLeg        = "missing_leg"        // a required leg is not part of the call
	ReasonNoAudio           = "no_audio"           // nothing of an announced leg arrived
	ReasonNoise             = "only_noise"         // a leg without speech that was not quiet, such as encrypted audio
	ReasonLost              = "too_much_lost"
	ReasonPaused            = "paused_too_long"
	ReasonInterrupted       = "interrupted" // the connection broke and did not come back
)

// Decision is the result of [Policy.Decide] for one call.
type Decision struct {
	Outcome Outcome
	// Review reports whether a person should review the call: it is flagged, or it is inconclusive and OnUnscreened is
	// Review.
	Review bool
	// Reasons are machine-readable, sorted and never empty.
	Reasons []string
	// Score is the highest valid score among the legs that determined the outcome. It is nil if none of them has a score;
	// [Decision.HighestScore] needs no check for nil.
	Score *float64
	// Threshold is the threshold of the leg that Score belongs to. Without a score it is the threshold of the policy.
	Threshold float64
	// Speech is the net speech of all legs. Analysed is the part of it that has a valid score.
	Speech, Analysed time.Duration
	// Pending is the number of findings without a result. The decision can change until it is 0.
	Pending int
	// Disputed reports that the legs disagree about metadata that the overrides look at. The strictest of the matching
	// rules was applied.
	Disputed bool
	// Legs has one entry for each leg among the findings and the accounts, and for each required leg, sorted by name.
	Legs []LegDecision
}

// HighestScore returns Score. It returns false if no leg that determined the outcome has a score: nothing was heard,
// or every analysis failed.
func (d Decision) HighestScore() (score float64, ok bool) {
	return value(d.Score)
}

// LegDecision is the decision for one leg.
type LegDecision struct {
	Leg              string
	Outcome          Outcome
	Ignored          bool // spoke too little to affect the call
	Suspicious       bool // a score exceeded the threshold, and no later score fell below ClearBelow
	Reasons          []string
	Score            *float64 // highest valid score, nil if there is none
	Threshold        float64
	Over             int // number of scores above the threshold
	Speech, Analysed time.Duration
}

// HighestScore returns Score. It returns false if no segment of the leg has a valid score.
func (l LegDecision) HighestScore() (score float64, ok bool) {
	return value(l.Score)
}

func value(score *float64) (float64, bool) {
	if score == nil {
		return 0, false
	}
	return *score, true
}
