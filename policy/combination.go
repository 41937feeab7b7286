package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxTriples is the number of overrides up to which combinations of three are checked.
const maxTriples = 100

// combinationProblems returns the problems of overrides that match the same leg of the same call, apart from those that
// the rules without overrides and the single overrides have. A rule about two values is broken by at most three overrides:
// one for each value, and one for the threshold that clear_below follows.
func (p Policy) combinationProblems(known []string) (errs []error) {
	for _, o := range p.Overrides {
		known = append(known, p.with(o).problems()...)
	}
	n := len(p.Overrides)
	for i := range n {
		for j := i + 1; j < n; j++ {
			if found := p.jointProblems([]int{i, j}, known); found != nil {
				errs = append(errs, found...)
				continue // a third override adds nothing
			}
			for k := j + 1; k < n && n <= maxTriples; k++ {
				errs = append(errs, p.jointProblems([]int{i, j, k}, known)...)
			}
		}
	}
	return errs
}

// jointProblems returns the problems of the rules where all named overrides match, and with them every other override
// whose conditions follow from theirs.
func (p Policy) jointProblems(named []int, known []string) (errs []error) {
	leg, metadata, ok := p.joint(named)
	if !ok {
		return nil
	}
	for _, s := range p.For(leg, metadata).problems() {
		if !slices.Contains(known, s) {
			names := make([]string, len(named))
			for i, at := range named {
				names[i] = fmt.Sprintf("overrides[%d]", at)
			}
			errs = append(errs, errors.New(strings.Join(names, " with ")+": "+s))
		}
	}
	return errs
}

// joint returns the leg and the metadata that all named overrides match, false if there are none.
func (p Policy) joint(named []int) (leg string, metadata map[string]string, ok bool) {
	metadata = map[string]string{}
	for _, at := range named {
		o := p.Overrides[at]
		if o.Leg != "" && leg != "" && o.Leg != leg {
			return "", nil, false
		}
		if o.Leg != "" {
			leg = o.Leg
		}
		for k, v := range o.Metadata {
			if other, set := metadata[k]; set && other != v {
				return "", nil, false
			}
			metadata[k] = v
		}
	}
	return leg, metadata, true
}
