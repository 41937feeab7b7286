package capture

import (
	"errors"
	"fmt"
	"time"
)

// SegmenterConfig sets how a leg is cut into segments. A zero value selects the default.
type SegmenterConfig struct {
	// Rate of the audio in Hz. Default 16,000.
	Rate int
	// FirstSpeech is the net speech after which the first segment of a leg is cut, for an early verdict. Default 4 s.
	FirstSpeech time.Duration
	// TargetSpeech is the net speech after which every other segment is cut. Default 10 s.
	TargetSpeech time.Duration
	// MinSpeech is the net speech below which a segment is skipped. Default 3 s.
	MinSpeech time.Duration
	// MaxDuration bounds a segment, pauses included. Default 30 s.
	MaxDuration time.Duration
	// PreRoll is the audio kept from before the first speech of a segment, so that its onset is whole. Default 300 ms.
	PreRoll time.Duration
	// HangOver is the pause after which speech counts as ended. A shorter pause belongs to the speech around it, and a cut
	// falls into a pause of at least this length. Default 300 ms.
	HangOver time.Duration
	// MinLevel is the RMS level of the speech, in dBFS, below which a segment is skipped as too quiet. Default -55.
	MinLevel float64
}

func (c SegmenterConfig) withDefaults() SegmenterConfig {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	if c.Rate == 0 {
		c.Rate = 16000
	}
	def(&c.FirstSpeech, 4*time.Second)
	def(&c.TargetSpeech, 10*time.Second)
	def(&c.MinSpeech, 3*time.Second)
	def(&c.MaxDuration, 30*time.Second)
	def(&c.PreRoll, 300*time.Millisecond)
	def(&c.HangOver, 300*time.Millisecond)
	if c.MinLevel == 0 {
		c.MinLevel = -55
	}
	return c
}

// Validate returns all problems at once, one a line, or nil. A zero value is checked as the default that it selects.
func (c SegmenterConfig) Validate() error {
	c = c.withDefaults()
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Rate < 8000 || c.Rate > 192000 {
		bad("sample_rate: is %d Hz, must be within 8000..192000", c.Rate)
	}
	if c.MinSpeech < 0 {
		bad("min_speech: is %v, must not be negative", c.MinSpeech)
	}
	if c.FirstSpeech < c.MinSpeech {
		bad("first_speech: is %v, less than min_speech %v", c.FirstSpeech, c.MinSpeech)
	}
	if c.TargetSpeech < c.MinSpeech {
		bad("target_speech: is %v, less than min_speech %v", c.TargetSpeech, c.MinSpeech)
	}
	if c.PreRoll < 0 || c.HangOver < 0 {
		bad("pre-roll %v and hang-over %v must not be negative", c.PreRoll, c.HangOver)
	}
	for _, d := range []struct {
		name string
		time.Duration
	}{{"first_speech", c.FirstSpeech}, {"target_speech", c.TargetSpeech}} {
		if c.MaxDuration < d.Duration+c.PreRoll+c.HangOver {
			bad(
				"max_duration: is %v, leaves no room for %s %v with %v before and %v after it",
				c.MaxDuration,
				d.name,
				d.Duration,
				c.PreRoll,
				c.HangOver,
			)
		}
	}
	if c.MinLevel > 0 {
		bad("min_level: is %v dBFS, must not be above 0", c.MinLevel)
	}
	return errors.Join(errs...)
}
