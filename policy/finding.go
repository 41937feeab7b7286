package policy

import (
	"math"
	"time"
)

// State is how far the analysis of one segment has come.
type State uint8

const (
	Pending State = iota // recorded, its score is not known yet
	Scored               // analysed, Score is valid
	Failed               // submitted or due to be, and no score will come
	Skipped              // not worth an analysis, and not submitted
)

// String returns the name that is used in reports.
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

// Finding is what is known of one segment of one leg.
type Finding struct {
	Leg    string        // who was heard: "caller", "agent", or any name
	Seq    int           // number of the segment within its leg
	Speech time.Duration // net speech that the segment holds
	State  State
	Score  float64 // 0..1, higher is more likely synthetic; only when Scored
	Reason string  // machine-readable, for Failed and Skipped: "timeout", "too_little_speech"
}

// scored tells whether the finding carries a score that may be compared.
func (f Finding) scored() bool {
	return f.State == Scored && ValidScore(f.Score)
}

// open tells whether the finding could still be, or could have been, any score.
func (f Finding) open() bool {
	return f.State == Pending || f.State == Failed || f.State == Scored && !ValidScore(f.Score)
}

// ValidScore tells whether s is a number within 0..1. Anything else is a failed analysis.
func ValidScore(s float64) bool {
	return !math.IsNaN(s) && s >= 0 && s <= 1
}
