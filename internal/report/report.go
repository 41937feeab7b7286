// Package report holds the result of screening a call in the one form that `replay --json` prints, the store keeps, and the
// API and the webhooks send.
package report

import "time"

// The states of a segment.
const (
	StateRecorded  = "recorded"  // cut, not submitted yet
	StateSubmitted = "submitted" // the API has accepted it
	StateScored    = "scored"
	StateFailed    = "failed"
	StateSkipped   = "skipped"
)

// ReasonStorage is the reason of a segment that failed because its audio could not be kept or read.
const ReasonStorage = "storage"

// ReasonTampered is the reason of a segment that failed because its stored audio is not what was recorded.
const ReasonTampered = "tampered"

// Report is the result of screening a call.
type Report struct {
	Call      string   `json:"call"`
	File      string   `json:"file,omitempty"`
	Decision  string   `json:"decision"` // "flagged", "clear" or "inconclusive"
	Review    bool     `json:"review"`   // the policy asks for a human review
	Score     *float64 `json:"score"`    // highest score of the leg that decided
	Threshold float64  `json:"threshold"`
	Reasons   []string `json:"reasons"`
	Duration  Seconds  `json:"duration_seconds"`
	Speech    Seconds  `json:"speech_seconds"`
	Analysed  Seconds  `json:"analysed_seconds"`
	Lost      Seconds  `json:"lost_seconds"`
	// Unrecorded, Paused and Unread are sums of the ledgers of the legs.
	Unrecorded Seconds         `json:"unrecorded_seconds"`
	Paused     Seconds         `json:"paused_seconds"`
	Unread     Seconds         `json:"unread_seconds"`
	Number     int             `json:"number,omitempty"`    // 2 for the second call with this id, and so on
	Simulated  bool            `json:"simulated,omitempty"` // the scores come from the stand-in and mean nothing
	Warnings   []string        `json:"warnings,omitempty"`
	Legs       []LegReport     `json:"legs"`
	Segments   []SegmentReport `json:"segments"`
}

// LegReport is the result for one leg.
type LegReport struct {
	Leg       string   `json:"leg"`
	Decision  string   `json:"decision"`
	Ignored   bool     `json:"ignored,omitempty"` // the leg did not speak and does not count in the decision
	Reasons   []string `json:"reasons"`
	Score     *float64 `json:"score"`
	Threshold float64  `json:"threshold"`
	Duration  Seconds  `json:"duration_seconds"`
	Speech    Seconds  `json:"speech_seconds"`
	Analysed  Seconds  `json:"analysed_seconds"`
	Lost      Seconds  `json:"lost_seconds"`
	Recorded  Seconds  `json:"recorded_seconds"`
	// Unrecorded arrived and was not recorded, Unread stands in the file and was not read. Unheard has both by reason.
	Unrecorded Seconds            `json:"unrecorded_seconds"`
	Paused     Seconds            `json:"paused_seconds"`
	Unread     Seconds            `json:"unread_seconds"`
	Unheard    map[string]Seconds `json:"unheard"`
	Ledger     *Ledger            `json:"ledger,omitempty"` // missing where it is not known
}

// SegmentReport is the result for one segment.
type SegmentReport struct {
	ID       string   `json:"id,omitempty"`
	Leg      string   `json:"leg"`
	Seq      int      `json:"seq"`
	Offset   Seconds  `json:"offset_seconds"`
	Duration Seconds  `json:"duration_seconds"`
	Speech   Seconds  `json:"speech_seconds"`
	Lost     Seconds  `json:"lost_seconds,omitempty"`
	State    string   `json:"state"` // one of the State constants
	Score    *float64 `json:"score"`
	Verdict  string   `json:"verdict"`
	JobID    string   `json:"job_id"`
	Reason   string   `json:"reason"`
	Detail   string   `json:"detail,omitempty"`  // explanation for a person
	Pieces   []Piece  `json:"pieces,omitempty"`  // places of the pieces of a packed segment, in the order of the audio
	Cleaned  bool     `json:"cleaned,omitempty"` // the score is that of a cleaned copy, after the first analysis failed
	Resent   bool     `json:"resent,omitempty"`  // uploaded twice, because the outcome of the first upload was unknown
	Audio    bool     `json:"audio,omitempty"`   // the audio can be fetched by the id
	SHA256   string   `json:"sha256,omitempty"`  // of the audio; kept when the audio is deleted
	WAV      string   `json:"wav,omitempty"`     // file of the audio
}

// Piece is one of several runs of speech that were packed into one segment.
type Piece struct {
	At       Seconds `json:"at_seconds"`     // in the audio of the segment
	Offset   Seconds `json:"offset_seconds"` // in the call
	Duration Seconds `json:"duration_seconds"`
}

// CallReport is the Report of a call in the store.
type CallReport struct {
	Report
	State     string            `json:"state"`              // "live" or "ended"
	Previous  string            `json:"previous,omitempty"` // in a webhook: the outcome that was announced before
	Final     bool              `json:"final"`              // the decision stands unless more is recorded
	StartedAt time.Time         `json:"started_at"`
	EndedAt   *time.Time        `json:"ended_at,omitempty"`
	Metadata  map[string]string `json:"metadata"`
}
