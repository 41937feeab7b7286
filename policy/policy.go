package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Unscreened says what happens to a call that could not be screened in full.
type Unscreened string

const (
	// Review asks for a person: the call stays inconclusive and waits for review.
	Review Unscreened = "review"
	// Clear lets what could not be analysed pass: a call of which enough was analysed is clear in spite of failed
	// segments. A call of which nothing was analysed stays inconclusive even so, it only does not wait for review.
	Clear Unscreened = "clear"
)

// Policy holds the rules. It is a value: copy it, compare it, print it. The zero value flags every score above 0;
// [Default] is where to start.
type Policy struct {
	// Threshold is exceeded by a score that is strictly greater. Within 0..1.
	Threshold float64 `yaml:"threshold"`
	// Need is how many scores of a leg must exceed the threshold. 0 means 1.
	Need int `yaml:"need"`
	// Of, when set, is the number of consecutive segments within which Need scores must exceed. 0 means anywhere.
	Of int `yaml:"of"`
	// ClearBelow ends the suspicion that a score over the threshold began. At most Threshold.
	ClearBelow float64 `yaml:"clear_below"`
	// MinSpeech is the speech of a leg that must have been analysed before it can be clear.
	MinSpeech time.Duration `yaml:"min_speech"`
	// MinCoverage is the share, 0..1, of a leg's speech that must have been analysed before it can be clear.
	MinCoverage float64 `yaml:"min_coverage"`
	// IgnoreBelow is the speech below which a leg counts as not having spoken.
	IgnoreBelow time.Duration `yaml:"ignore_below"`
	// OnUnscreened is Review or Clear. "" means Review.
	OnUnscreened Unscreened `yaml:"on_unscreened"`
	// Overrides change the rules for some legs or calls. All that match are applied, in order.
	Overrides []Override `yaml:"overrides"`
}

// Override changes single rules where it matches. Fields that are nil leave a rule as it is.
type Override struct {
	// Leg matches the leg of this name. "" matches every leg.
	Leg string `yaml:"leg,omitempty"`
	// Metadata matches a call that carries every one of these keys with exactly this value.
	Metadata map[string]string `yaml:"metadata,omitempty"`

	Threshold    *float64       `yaml:"threshold,omitempty"`
	Need         *int           `yaml:"need,omitempty"`
	Of           *int           `yaml:"of,omitempty"`
	ClearBelow   *float64       `yaml:"clear_below,omitempty"`
	MinSpeech    *time.Duration `yaml:"min_speech,omitempty"`
	MinCoverage  *float64       `yaml:"min_coverage,omitempty"`
	IgnoreBelow  *time.Duration `yaml:"ignore_below,omitempty"`
	OnUnscreened *Unscreened    `yaml:"on_unscreened,omitempty"`
}

// Default is the policy that applies when nothing is configured.
func Default() Policy {
	return Policy{
		Threshold:    0.6,
		Need:         1,
		ClearBelow:   0.4,
		MinSpeech:    3 * time.Second,
		MinCoverage:  0.5,
		IgnoreBelow:  time.Second,
		OnUnscreened: Review,
	}
}

// For returns the rules that hold for one leg of a call with this metadata, overrides applied. The result carries no
// overrides of its own.
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

// with applies one override.
func (p Policy) with(o Override) Policy {
	set(&p.Threshold, o.Threshold)
	set(&p.Need, o.Need)
	set(&p.Of, o.Of)
	set(&p.ClearBelow, o.ClearBelow)
	set(&p.MinSpeech, o.MinSpeech)
	set(&p.MinCoverage, o.MinCoverage)
	set(&p.IgnoreBelow, o.IgnoreBelow)
	set(&p.OnUnscreened, o.OnUnscreened)
	// Who lowers only the threshold means the suspicion to end below it too.
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

// Validate reports everything that is wrong with the policy, one error a line, each beginning with the path of the
// rule. It returns nil when nothing is.
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
			errs = append(errs, fmt.Errorf("%smetadata: has an empty key", path))
		}
		for _, s := range p.with(o).problems() {
			if !slices.Contains(own, s) {
				errs = append(errs, errors.New(path+s))
			}
		}
	}
	return errors.Join(errs...)
}

// problems lists what is wrong with the rules themselves, overrides aside.
func (p Policy) problems() (found []string) {
	bad := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if !ValidScore(p.Threshold) {
		bad("threshold: is %v, must be within 0..1", p.Threshold)
	}
	if !ValidScore(p.ClearBelow) {
		bad("clear_below: is %v, must be within 0..1", p.ClearBelow)
	} else if p.ClearBelow > p.Threshold {
		bad("clear_below: is %v, above the threshold %v; a call would be cleared by a score that flags it", p.ClearBelow, p.Threshold)
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
		bad("of: is %d, less than need %d; nothing could ever be flagged", p.Of, p.Need)
	}
	if p.MinSpeech < 0 {
		bad("min_speech: is %v, must not be negative", p.MinSpeech)
	}
	if p.IgnoreBelow < 0 {
		bad("ignore_below: is %v, must not be negative", p.IgnoreBelow)
	}
	switch p.OnUnscreened {
	case "", Review, Clear:
	default:
		bad("on_unscreened: is %q, must be %q or %q", p.OnUnscreened, Review, Clear)
	}
	return found
}
