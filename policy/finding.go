package policy

import (
	"math"
	"time"
)

// State is the progress of the analysis of one segment.
type State uint8

const (
	Pending State = iota // recorded, without a result so far
	Scored               // analysed, Score is set
	Failed               // the analysis failed for good
	Skipped              // not submitted, for example because it holds too little speech
)

// String returns the name used in reports.
func (s State) String() string {
	switch s {
	case Pending:
		return "pending"
	case Scored:
		return "scored"
	case Failed:
		return "failed"
	case Skipped:
		return "skipped"
	}
	return "unknown"
}

// Finding is the result of one segment of one leg.
type Finding struct {
	Leg    string        // "caller", "agent" or any other name
	Seq    int           // number of the segment within its leg, from 0
	Speech time.Duration // net speech in the segment
	State  State
	Score  float64 // 0..1, higher is more likely synthetic; set if Scored
	Reason string  // machine-readable, set if Failed or Skipped: "timeout", "too_little_speech"
}

// ReasonSampled is the reason of a skipped finding that the operator chose not to have analysed.
const ReasonSampled = "sampled"

// scored reports whether the finding has a valid score.
func (f Finding) scored() bool {
	return f.State == Scored && ValidScore(f.Score)
}

// open reports whether the score is unknown, so that it could be anything.
func (f Finding) open() bool {
	return f.State == Pending || f.State == Failed || f.State == Scored && !ValidScore(f.Score)
}

// ValidScore reports whether s is a number within 0..1. Any other value counts as a failed analysis.
func ValidScore(s float64) bool {
	return !math.IsNaN(s) && s >= 0 && s <= 1
}
