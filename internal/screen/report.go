package screen

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Report is what is known of a call, in the form that users and other programs get to see.
type Report struct {
	Call      string          `json:"call"`
	File      string          `json:"file,omitempty"`
	Decision  string          `json:"decision"` // "flagged", "clear" or "inconclusive"
	Review    bool            `json:"review"`   // whether a person should look
	Score     *float64        `json:"score"`    // highest score of the leg that decided
	Threshold float64         `json:"threshold"`
	Reasons   []string        `json:"reasons"`
	Duration  Seconds         `json:"duration_seconds"`
	Speech    Seconds         `json:"speech_seconds"`
	Analysed  Seconds         `json:"analysed_seconds"`
	Lost      Seconds         `json:"lost_seconds"`
	Simulated bool            `json:"simulated,omitempty"` // the scores mean nothing
	Warnings  []string        `json:"warnings,omitempty"`
	Legs      []LegReport     `json:"legs"`
	Segments  []SegmentReport `json:"segments"`
}

// LegReport is what is known of one leg.
type LegReport struct {
	Leg       string   `json:"leg"`
	Decision  string   `json:"decision"`
	Ignored   bool     `json:"ignored,omitempty"` // did not speak, and does not bear on the call
	Reasons   []string `json:"reasons"`
	Score     *float64 `json:"score"`
	Threshold float64  `json:"threshold"`
	Duration  Seconds  `json:"duration_seconds"`
	Speech    Seconds  `json:"speech_seconds"`
	Analysed  Seconds  `json:"analysed_seconds"`
	Lost      Seconds  `json:"lost_seconds"`
}

// SegmentReport is what is known of one segment.
type SegmentReport struct {
	ID       string   `json:"id,omitempty"`
	Leg      string   `json:"leg"`
	Seq      int      `json:"seq"`
	Offset   Seconds  `json:"offset_seconds"`
	Duration Seconds  `json:"duration_seconds"`
	Speech   Seconds  `json:"speech_seconds"`
	Lost     Seconds  `json:"lost_seconds,omitempty"`
	State    string   `json:"state"` // "recorded", "submitted", "scored", "failed" or "skipped"
	Score    *float64 `json:"score"`
	Verdict  string   `json:"verdict"`
	JobID    string   `json:"job_id"`
	Reason   string   `json:"reason"`
	Detail   string   `json:"detail,omitempty"`  // what happened, for a person
	Cleaned  bool     `json:"cleaned,omitempty"` // the score is that of a cleaner copy, after the first one failed
	Resent   bool     `json:"resent,omitempty"`  // sent twice, because it was not known whether the first upload had arrived
	Audio    bool     `json:"audio,omitempty"`   // the audio can be fetched by the id
	SHA256   string   `json:"sha256,omitempty"`  // of the audio, also when that is gone
	WAV      string   `json:"wav,omitempty"`     // where the audio is kept
}

// Seconds is a duration that is written as a number of seconds, to the millisecond.
type Seconds time.Duration

// Round is the duration as it is written.
func (s Seconds) Round() Seconds { return Seconds(time.Duration(s).Round(time.Millisecond)) }

// MarshalJSON writes the seconds.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(s.Round()/Seconds(time.Millisecond))/1000, 'f', -1, 64), nil
}

// UnmarshalJSON reads the seconds.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var f float64
	if err := json.Unmarshal(data, &f); err != nil {
		return err
	}
	*s = Seconds(math.Round(f * float64(time.Second)))
	return nil
}
