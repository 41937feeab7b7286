package screen_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// strictAndMild returns two policies between which a score of 0.7 lies.
func strictAndMild() (strict, mild policy.Policy) {
	strict, mild = policy.Default(), policy.Default()
	mild.Threshold = 0.9
	return strict, mild
}

func inForce(t *testing.T, p policy.Policy, version int64, node string) []store.PolicyInForce {
	t.Helper()
	body, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return []store.PolicyInForce{{Version: version, Body: body, Nodes: []string{node}}}
}

// Two nodes with different policies settle the segments of a call. Every split of the segments between the nodes, and either
// order of the versions, gives the same decision under the same version.
func TestDecisionsOfNodesWithDifferentPoliciesDoNotDependOnTheNode(t *testing.T) {
	t.Parallel()
	strict, mild := strictAndMild()
	for _, versions := range [][2]int64{{1, 2}, {2, 1}} {
		for split := range 4 {
			s := storetest.SQLite(t, t.TempDir())
			a, b := newClerk(t, s, strict), newClerk(t, s, mild)
			a.desk.UsePolicy(strict, versions[0])
			b.desk.UsePolicy(mild, versions[1])
			a.must(a.desk.UseOthers(inForce(t, mild, versions[1], "b")))
			b.must(b.desk.UseOthers(inForce(t, strict, versions[0], "a")))
			p := partAt("c", "a", 60)
			segments := []store.SegmentRow{stored(p, "caller", 0), stored(p, "caller", 1)}
			for _, g := range segments {
				a.recorded(p, g)
			}
			p.Legs = []store.LegProgress{{PartKey: p.PartKey, Leg: "caller", Duration: 12 * time.Second, Segments: 2}}
			a.progress(ended(p))
			for i, score := range []float64{0.1, 0.7} {
				by := a
				if split>>i&1 == 1 {
					by = b
				}
				by.settle(segments[i], settlement(score))
			}
			if c := a.call("c"); c.Decision != "flagged" || c.PolicyVersion != versions[0] || c.Decisions != 1 {
				t.Errorf("versions %v, split %d: %s by version %d after %d decisions", versions, split, c.Decision, c.PolicyVersion, c.Decisions)
			}
		}
	}
}

// Of equal outcomes the lowest version is named, whichever node decides.
func TestEqualOutcomesNameTheLowestVersion(t *testing.T) {
	t.Parallel()
	strict, mild := strictAndMild()
	for _, own := range []int64{1, 2} {
		c := newClerk(t, storetest.SQLite(t, t.TempDir()), strict)
		c.desk.UsePolicy(strict, own)
		c.must(c.desk.UseOthers(inForce(t, mild, 3-own, "b")))
		p := partAt("c", "a", 60)
		g := stored(p, "caller", 0)
		c.recorded(p, g)
		p.Legs = []store.LegProgress{{PartKey: p.PartKey, Leg: "caller", Duration: 6 * time.Second, Segments: 1}}
		c.progress(ended(p))
		c.settle(g, settlement(0.1))
		if call := c.call("c"); call.Decision != "clear" || call.PolicyVersion != 1 {
			t.Errorf("own version %d: %s by version %d", own, call.Decision, call.PolicyVersion)
		}
	}
}

// A policy keeps all of its rules on the way through the database to the other nodes.
func TestAPolicyIsTheSameAfterTheDatabase(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.RequireLegs = []string{"caller"}
	p.MaxUnheard = policy.Limit{Absolute: 7 * time.Second, Share: 0.3}
	low, unscreened, legs := 0.2, policy.Clear, []string{"agent"}
	p.Overrides = []policy.Override{{
		Metadata:     map[string]string{"queue": "surveys"},
		Threshold:    &low,
		OnUnscreened: &unscreened,
		RequireLegs:  &legs,
		MaxUnheard:   &policy.Limit{Share: 0.5},
	}}
	body := inForce(t, p, 2, "b")[0].Body
	var back policy.Policy
	if err := json.Unmarshal(body, &back); err != nil || !reflect.DeepEqual(back, p) {
		t.Errorf("%v\n%+v, want\n%+v", err, back, p)
	}
}

// A policy that cannot be read is an error that names it. The others are in force, and all are listed.
func TestAnUnreadablePolicyIsNamed(t *testing.T) {
	t.Parallel()
	strict, mild := strictAndMild()
	c := newClerk(t, storetest.SQLite(t, t.TempDir()), mild)
	others := append(inForce(t, strict, 3, "b"), store.PolicyInForce{Version: 4, Body: []byte(`{"Threshold":"x"}`), Nodes: []string{"d"}})
	if err := c.desk.UseOthers(others); err == nil || !strings.Contains(err.Error(), "policy version 4 of d") {
		t.Errorf("%v", err)
	}
	if got, want := fmt.Sprint(c.desk.PoliciesInForce("a")), "map[1:[a] 3:[b] 4:[d]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	p := partAt("c", "a", 60)
	g := stored(p, "caller", 0)
	c.recorded(p, g)
	c.settle(g, settlement(0.7))
	if call := c.call("c"); call.Decision != "flagged" || call.PolicyVersion != 3 {
		t.Errorf("%s by version %d", call.Decision, call.PolicyVersion)
	}
	c.must(c.desk.UseOthers(nil)) // they have stopped
	if got, want := fmt.Sprint(c.desk.PoliciesInForce("a")), "map[1:[a]]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Maintenance publishes the policy of its node, reads those of the other nodes, and forgets those of stopped nodes.
func TestNodesReadEachOthersPolicies(t *testing.T) {
	t.Parallel()
	strict, mild := strictAndMild()
	n := newNode(t, options{desk: func(c *screen.DeciderConfig) { c.Policy = mild }})
	for _, p := range []policy.Policy{mild, strict} {
		if _, err := n.store.UsePolicy(t.Context(), mustJSON(t, p), noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.store.Heartbeat(t.Context(), "n2", 2); err != nil {
		t.Fatal(err)
	}
	n.work(nil)
	n.await("the policy of n2 is known", func() bool {
		return fmt.Sprint(n.desk.PoliciesInForce("n1")) == "map[1:[n1] 2:[n2]]"
	})
	live, err := n.store.LivePolicies(t.Context(), time.Minute)
	if err != nil || len(live) != 2 || live[0].Nodes[0] != "n1" {
		t.Errorf("%+v, %v", live, err)
	}
	n.raw("UPDATE node SET seen_ms = seen_ms - 60000 WHERE id = 'n2'")
	n.await("n2 is forgotten", func() bool { return fmt.Sprint(n.desk.PoliciesInForce("n1")) == "map[1:[n1]]" })
}

// A flag that stands keeps the policy version, the threshold and the score that it was set by, whatever a later policy says of
// the call. A flag that a later policy announces again has the version of that policy.
func TestAFlagThatStandsKeepsItsPolicyVersion(t *testing.T) {
	t.Parallel()
	first := policy.Default()
	for name, threshold := range map[string]float64{"also flags": 0.65, "does not flag": 0.9} {
		c := newClerk(t, storetest.SQLite(t, t.TempDir()), first)
		p := partAt("c", "a", 60)
		segments := []store.SegmentRow{stored(p, "caller", 0), stored(p, "caller", 1), stored(p, "agent", 0)}
		for _, g := range segments {
			c.recorded(p, g)
		}
		c.settle(segments[0], settlement(0.7))
		later := first
		later.Threshold = threshold
		c.desk.UsePolicy(later, 2)
		c.settle(segments[1], settlement(0.75))
		r, err := c.desk.Report(t.Context(), "c")
		c.must(err)
		if call := c.call("c"); call.Decision != "flagged" || call.PolicyVersion != 1 || call.Decisions != 1 ||
			r.Threshold != first.Threshold || r.Score == nil || *r.Score != 0.7 {
			t.Errorf("a policy that %s: %s by version %d, %v of %v", name, call.Decision, call.PolicyVersion, r.Score, r.Threshold)
		}
		c.settle(segments[2], settlement(0.99)) // another leg is over the threshold
		if call := c.call("c"); call.PolicyVersion != 2 || call.Decisions != 2 {
			t.Errorf("a policy that %s, another leg: version %d after %d decisions", name, call.PolicyVersion, call.Decisions)
		}
	}
}
