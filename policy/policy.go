package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Unscreened is the treatment of a call that could not be screened completely.
type Unscreened string

const (
	// Review keeps the call inconclusive and queues it for review.
	Review Unscreened = "review"
	// Clear tolerates failed segments: the call is clear if enough of it was analysed. A call of which nothing was
	// analysed stays inconclusive, but is not queued for review.
	Clear Unscreened = "clear"
)

// Policy holds the rules. Policies can be copied and printed. They share the slice Overrides with their copies and
// cannot be compared with ==. The zero value flags every score above 0; start with [Default].
type Policy struct {
	// Threshold is the score, within 0..1, that a score must exceed to count. A score equal to it does not exceed it.
	Threshold float64 `yaml:"threshold"`
	// Need is the number of scores of a leg that must exceed Threshold to flag it. 0 means 1.
	Need int `yaml:"need"`
	// Of is the number of consecutive segments within which Need scores must exceed Threshold. 0 means anywhere in the
	// call.
	Of int `yaml:"of"`
	// ClearBelow ends a suspicion: a leg with too few scores above Threshold is suspicious until a score falls below
	// ClearBelow. At most Threshold.
	ClearBelow float64 `yaml:"clear_below"`
	// MinSpeech is the net speech of a leg that must be analysed before the leg can be clear.
	MinSpeech time.Duration `yaml:"min_speech"`
	// MinCoverage is the share, 0..1, of a leg's net speech that must be analysed before the leg can be clear. Speech of
	// at most MaxUnheard.Absolute may be left out whatever its share: a short last turn is too little to be analysed.
	MinCoverage float64 `yaml:"min_coverage"`
	// IgnoreBelow is the net speech below which a leg of skipped segments is ignored.
	IgnoreBelow time.Duration `yaml:"ignore_below"`
	// OnUnscreened is Review or Clear. "" means Review.
	OnUnscreened Unscreened `yaml:"on_unscreened"`
	// RequireLegs names legs that must be heard. A call without speech of one of them is inconclusive.
	RequireLegs []string `yaml:"require_legs"`
	// MaxUnheard bounds the audio of a leg that arrived and was not recorded, that stands in a file and was not read, and
	// the speech that was not analysed.
	MaxUnheard Limit `yaml:"max_unheard"`
	// MaxLost is the share, 0..1, of a leg that may be lost on the network.
	MaxLost float64 `yaml:"max_lost"`
	// MaxPaused is the time that a leg may be paused.
	MaxPaused time.Duration `yaml:"max_paused"`
	// Overrides change rules for some legs or calls. All matching overrides apply, in order; a later one wins.
	Overrides []Override `yaml:"overrides"`
}

// Override changes single rules for the legs and calls that it matches. A nil field leaves its rule unchanged.
type Override struct {
	// Leg matches the leg with this name. "" matches every leg.
	Leg string `yaml:"leg,omitempty"`
	// Metadata matches a call that has all of these keys with exactly these values.
	Metadata map[string]string `yaml:"metadata,omitempty"`

	Threshold    *float64       `yaml:"threshold,omitempty"`
	Need         *int           `yaml:"need,omitempty"`
	Of           *int           `yaml:"of,omitempty"`
	ClearBelow   *float64       `yaml:"clear_below,omitempty"`
	MinSpeech    *time.Duration `yaml:"min_speech,omitempty"`
	MinCoverage  *float64       `yaml:"min_coverage,omitempty"`
	IgnoreBelow  *time.Duration `yaml:"ignore_below,omitempty"`
	OnUnscreened *Unscreened    `yaml:"on_unscreened,omitempty"`
	RequireLegs  *[]string      `yaml:"require_legs,omitempty"` // only without Leg
	MaxUnheard   *Limit         `yaml:"max_unheard,omitempty"`
	MaxLost      *float64       `yaml:"max_lost,omitempty"`
	MaxPaused    *time.Duration `yaml:"max_paused,omitempty"`
}

// Default returns the policy that applies if nothing is configured.
func Default() Policy {
	return Policy{
		Threshold:    0.6,
		Need:         1,
		ClearBelow:   0.4,
		MinSpeech:    3 * time.Second,
		MinCoverage:  0.9,
		IgnoreBelow:  time.Second,
		OnUnscreened: Review,
		MaxUnheard:   Limit{Absolute: 3 * time.Second, Share: 0.1},
		MaxLost:      0.2,
		MaxPaused:    2 * time.Minute,
	}
}

// For returns the rules for one leg of a call with this metadata, with the overrides applied. The result has no
// overrides.
func (p Policy) For(leg string, metadata map[string]string) Policy {
	r := p
	r.Overrides = nil
	for _, o := range p.Overrides {
		if o.matches(leg, metadata) {
			r = r.with(o)
		}
	}
	if r.Need < 1 {
		r.Need = 1
	}
	if r.OnUnscreened == "" {
		r.OnUnscreened = Review
	}
	return r
}

// with returns p with one override applied.
func (p Policy) with(o Override) Policy {
	set(&p.Threshold, o.Threshold)
	set(&p.Need, o.Need)
	set(&p.Of, o.Of)
	set(&p.ClearBelow, o.ClearBelow)
	set(&p.MinSpeech, o.MinSpeech)
	set(&p.MinCoverage, o.MinCoverage)
	set(&p.IgnoreBelow, o.IgnoreBelow)
	set(&p.OnUnscreened, o.OnUnscreened)
	set(&p.RequireLegs, o.RequireLegs)
	set(&p.MaxUnheard, o.MaxUnheard)
	set(&p.MaxLost, o.MaxLost)
	set(&p.MaxPaused, o.MaxPaused)
	// An override that lowers only the threshold lowers ClearBelow with it.
	if o.Threshold != nil && o.ClearBelow == nil && p.ClearBelow > p.Threshold {
		p.ClearBelow = p.Threshold
	}
	return p
}

func (o Override) matches(leg string, metadata map[string]string) bool {
	if o.Leg != "" && o.Leg != leg {
		return false
	}
	for k, v := range o.Metadata {
		if got, ok := metadata[k]; !ok || got != v {
			return false
		}
	}
	return true
}

func set[T any](dst *T, v *T) {
	if v != nil {
		*dst = *v
	}
}

// Validate reports all problems of the policy, one error a line. Each line begins with the path of the rule. It returns
// nil if the policy is valid.
func (p Policy) Validate() error {
	var errs []error
	own := p.problems()
	for _, s := range own {
		errs = append(errs, errors.New(s))
	}
	for i, o := range p.Overrides {
		path := fmt.Sprintf("overrides[%d].", i)
		if o.Leg == "" && len(o.Metadata) == 0 {
			errs = append(errs, fmt.Errorf("%sleg: matches every leg of every call; name a leg or metadata", path))
		}
		if _, ok := o.Metadata[""]; ok {
			errs = append(errs, fmt.Errorf("%smetadata: contains an empty key", path))
		}
		if o.RequireLegs != nil && o.Leg != "" {
			errs = append(errs, fmt.Errorf("%srequire_legs: is a rule of the call and cannot depend on a leg", path))
		}
		for _, s := range p.with(o).problems() {
			if !slices.Contains(own, s) {
				errs = append(errs, errors.New(path+s))
			}
		}
	}
	errs = append(errs, p.combinationProblems(own)...)
	return errors.Join(errs...)
}

// problems returns the problems of the rules themselves, without the overrides.
func (p Policy) problems() (found []string) {
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !ValidScore(p.Threshold) {
		bad("threshold: is %v, must be within 0..1", p.Threshold)
	}
	if !ValidScore(p.ClearBelow) {
		bad("clear_below: is %v, must be within 0..1", p.ClearBelow)
	} else if p.ClearBelow > p.Threshold {
		bad("clear_below: is %v, above the threshold %v; one score would flag a call and clear it", p.ClearBelow, p.Threshold)
	}
	if !ValidScore(p.MinCoverage) {
		bad("min_coverage: is %v, must be within 0..1", p.MinCoverage)
	}
	if p.Need < 0 {
		bad("need: is %d, must be at least 1", p.Need)
	}
	if p.Of < 0 {
		bad("of: is %d, must be 0 (anywhere in the call) or at least need", p.Of)
	} else if p.Of > 0 && p.Of < p.Need {
		bad("of: is %d, less than need %d; no call could be flagged", p.Of, p.Need)
	}
	if p.MinSpeech < 0 {
		bad("min_speech: is %v, must not be negative", p.MinSpeech)
	}
	if p.IgnoreBelow < 0 {
		bad("ignore_below: is %v, must not be negative", p.IgnoreBelow)
	}
	if !ValidScore(p.MaxUnheard.Share) {
		bad("max_unheard.share: is %v, must be within 0..1", p.MaxUnheard.Share)
	}
	if p.MaxUnheard.Absolute < 0 {
		bad("max_unheard.seconds: is %v, must not be negative", p.MaxUnheard.Absolute)
	}
	if !ValidScore(p.MaxLost) {
		bad("max_lost: is %v, must be within 0..1", p.MaxLost)
	}
	if p.MaxPaused < 0 {
		bad("max_paused: is %v, must not be negative", p.MaxPaused)
	}
	for i, leg := range p.RequireLegs {
		if leg == "" || slices.Contains(p.RequireLegs[:i], leg) {
			bad("require_legs: %q is empty or named twice", leg)
		}
	}
	switch p.OnUnscreened {
	case "", Review, Clear:
	default:
		bad("on_unscreened: is %q, must be %q or %q", p.OnUnscreened, Review, Clear)
	}
	return found
}
