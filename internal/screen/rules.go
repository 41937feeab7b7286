package screen

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// rules are the policies that a Decider decides by. A value is never changed, so that each decision is made under one.
type rules struct {
	own    versioned
	others []otherPolicy
	all    []versioned // own and the readable ones of others, each once, in the order of the versions
}

type versioned struct {
	policy  policy.Policy
	version int64
}

// otherPolicy is the policy of other live nodes.
type otherPolicy struct {
	versioned
	nodes    []string
	readable bool
}

func newRules(own versioned, others []otherPolicy) *rules {
	r := &rules{own: own, others: others, all: []versioned{own}}
	for _, o := range others {
		if o.readable && o.version != own.version {
			r.all = append(r.all, o.versioned)
		}
	}
	slices.SortFunc(r.all, func(a, b versioned) int { return cmp.Compare(a.version, b.version) })
	return r
}

// UsePolicy puts another policy in force for all later decisions.
func (d *Decider) UsePolicy(p policy.Policy, version int64) {
	d.using.Lock()
	defer d.using.Unlock()
	d.rules.Store(newRules(versioned{p, version}, d.rules.Load().others))
}

// UseOthers replaces the policies of the other live nodes, which later decisions take into account. The error names the
// policies that cannot be read; the others are in force.
func (d *Decider) UseOthers(inForce []store.PolicyInForce) error {
	var others []otherPolicy
	var errs []error
	for _, f := range inForce {
		o := otherPolicy{versioned: versioned{policy.Default(), f.Version}, nodes: f.Nodes}
		if err := json.Unmarshal(f.Body, &o.policy); err != nil {
			errs = append(errs, fmt.Errorf("policy version %d of %s: %w", f.Version, strings.Join(f.Nodes, ", "), err))
		} else {
			o.readable = true
		}
		others = append(others, o)
	}
	d.using.Lock()
	defer d.using.Unlock()
	d.rules.Store(newRules(d.rules.Load().own, others))
	return errors.Join(errs...)
}

// Policy returns the policy of this node.
func (d *Decider) Policy() policy.Policy { return d.rules.Load().own.policy }

// PolicyVersion returns the version of the policy of this node.
func (d *Decider) PolicyVersion() int64 { return d.rules.Load().own.version }

// PoliciesInForce returns the versions of the policies of this node and of the other live nodes, with the names of the nodes.
func (d *Decider) PoliciesInForce(node string) map[int64][]string {
	by := d.rules.Load()
	all := map[int64][]string{by.own.version: {node}}
	for _, o := range by.others {
		all[o.version] = append(all[o.version], o.nodes...)
	}
	return all
}

// judge decides a call by the policy in force. Where live nodes have different policies, the gravest of their outcomes holds,
// and of equal ones that of the lowest version: the decision does not depend on the node that makes it.
func (d *Decider) judge(c *store.Call, parts []store.Part, segments []store.SegmentRow, ended bool) (report.Report, int, int64) {
	all := d.rules.Load().all
	r, open := summarize(all[0].policy, c, parts, segments, ended)
	version := all[0].version
	for _, other := range all[1:] {
		o, _ := summarize(other.policy, c, parts, segments, ended)
		if gravity(o.Decision) > gravity(r.Decision) {
			r, version = o, other.version
		}
	}
	return r, open, version
}
