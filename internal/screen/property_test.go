package screen_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"callscreen/internal/hook/event"
	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
	"callscreen/policy"
)

// expected is the state of a call that the decider must store. It is computed by the policy alone.
type expected struct {
	rules     policy.Policy
	parts     map[store.PartKey]bool // true: the part has ended
	segments  []store.SegmentRow
	decision  policy.Decision
	final     bool
	published string
	decisions int
	flagged   map[string]bool // legs that are or were flagged
}

// live reports whether a part is still being recorded.
func (e *expected) live() bool {
	for _, ended := range e.parts {
		if !ended {
			return true
		}
	}
	return false
}

// decide applies the policy to all known segments.
func (e *expected) decide(metadata map[string]string) {
	slices.SortFunc(e.segments, func(a, b store.SegmentRow) int {
		return cmp.Or(
			cmp.Compare(a.Part+a.Offset.Milliseconds(), b.Part+b.Offset.Milliseconds()),
			cmp.Compare(a.Leg, b.Leg),
			cmp.Compare(a.Seq, b.Seq),
			cmp.Compare(a.Part, b.Part),
			cmp.Compare(a.Node, b.Node),
		)
	})
	var findings []policy.Finding
	number, open := map[string]int{}, 0
	for _, g := range e.segments {
		f := policy.Finding{Leg: g.Leg, Speech: g.Speech, Reason: g.Reason}
		switch g.State {
		case store.SegmentSkipped:
			f.State, f.Seq = policy.Skipped, -1
			findings = append(findings, f)
			continue
		case store.SegmentScored:
			f.State, f.Score = policy.Scored, *g.Score
		case store.SegmentFailed:
			f.State = policy.Failed
		default:
			f.State = policy.Pending
			open++
		}
		f.Seq = number[g.Leg]
		number[g.Leg]++
		if f.State != policy.Pending || !e.live() {
			findings = append(findings, f)
		}
	}
	e.decision = e.rules.Decide(findings, metadata)
	another := false // a leg exceeds its threshold that did not when the call was flagged
	for _, l := range e.decision.Legs {
		if l.Outcome != policy.OutcomeFlagged {
			continue
		}
		another = another || !e.flagged[l.Leg]
		if e.flagged == nil {
			e.flagged = map[string]bool{}
		}
		e.flagged[l.Leg] = true
	}
	outcome := e.decision.Outcome.String()
	if e.published == "flagged" { // only a person can clear a flag
		outcome = "flagged"
	}
	if e.final = outcome == "flagged" || !e.live() && open == 0; e.final && (outcome != e.published || another) {
		e.published = outcome
		e.decisions++
	}
}

// compare returns an error if the call in the database differs from the expected state.
func (e *expected) compare(c store.Call) error {
	outcome, review := e.decision.Outcome.String(), e.decision.Review
	pinned := e.published == "flagged" && outcome != "flagged"
	if e.published == "flagged" {
		outcome, review = "flagged", true
	}
	switch {
	case c.Decision != outcome || c.Review != review:
		return fmt.Errorf("it is %s, review %v; want %s, %v", c.Decision, c.Review, outcome, review)
	case c.Final != e.final || c.Published != e.published || c.Decisions != e.decisions:
		return fmt.Errorf(
			"final %v, published %q, %d decisions; want %v, %q, %d",
			c.Final,
			c.Published,
			c.Decisions,
			e.final,
			e.published,
			e.decisions,
		)
	case (c.State == store.CallLive) != e.live():
		return fmt.Errorf("it is %s", c.State)
	case pinned && (c.Score == nil || *c.Score <= 0.3):
		return fmt.Errorf("it is flagged for a score of %v", c.Score)
	case !pinned && (c.Score == nil) != (e.decision.Score == nil), !pinned && c.Score != nil && *c.Score != *e.decision.Score:
		return fmt.Errorf("its score is %v, want %v", c.Score, e.decision.Score)
	}
	return nil
}

// step is one event of a call.
type step struct {
	what string
	do   func(c *clerk, e *expected)
}

// story returns the events of a random call: one or two parts, which may overlap, and segments that are settled early, late
// or after the end.
func story(rng *rand.Rand, id string) []step {
	metadata := map[string]string{"queue": []string{"payments", "sales"}[rng.IntN(2)]}
	var lanes [][]step
	for k := range 1 + rng.IntN(2) {
		p := partAt(id, fmt.Sprintf("n%d", k), int64(60-rng.IntN(30)))
		p.Metadata = metadata
		var lane []step
		add := func(what string, do func(c *clerk, e *expected)) { lane = append(lane, step{what, do}) }
		if rng.IntN(2) == 0 {
			add("begins", func(c *clerk, e *expected) {
				c.progress(p)
				e.parts[p.PartKey] = false
				e.decide(metadata)
			})
		}
		for _, leg := range []string{"caller", "agent"}[:1+rng.IntN(2)] {
			for seq := range rng.IntN(4) {
				g := stored(p, leg, seq)
				g.Speech = time.Duration(rng.IntN(6000)) * time.Millisecond
				switch rng.IntN(8) {
				case 0:
					g.State, g.Reason, g.AudioKey = store.SegmentSkipped, "too_quiet", ""
				case 1:
					g.State, g.Reason, g.AudioKey = store.SegmentFailed, "storage", ""
				}
				add("recorded "+g.ID, func(c *clerk, e *expected) {
					if _, ok := e.parts[p.PartKey]; !ok {
						e.parts[p.PartKey] = false
					}
					c.recorded(p, g)
					e.segments = append(e.segments, g)
					if g.Settled() || !e.live() {
						e.decide(metadata)
					}
				})
				if g.Settled() {
					continue
				}
				score := []float64{0.1, 0.2, 0.3, 0.39, 0.4, 0.5, 0.6, 0.61, 0.9, 1}[rng.IntN(10)]
				r := settlement(score)
				if rng.IntN(6) == 0 {
					r = store.Settlement{State: store.SegmentFailed, Reason: "timeout", At: noon}
				}
				lanes = append(lanes, []step{{"recorded " + g.ID, nil}, {"settled " + g.ID, func(c *clerk, e *expected) {
					c.settle(g, r)
					i := slices.IndexFunc(e.segments, func(s store.SegmentRow) bool { return s.ID == g.ID })
					e.segments[i].State, e.segments[i].Score, e.segments[i].Reason = r.State, r.Score, r.Reason
					e.decide(metadata)
				}}})
			}
		}
		end := step{"ends", func(c *clerk, e *expected) {
			c.progress(ended(p))
			e.parts[p.PartKey] = true
			e.decide(metadata)
		}}
		if at := rng.IntN(len(lane) + 1); rng.IntN(4) == 0 && (at > 0 || len(lane) == 0 || lane[0].what != "begins") {
			lane = slices.Insert(lane, at, end) // the later steps come from the spool of a node that was down
		} else {
			lane = append(lane, end)
		}
		lanes = append(lanes, lane)
	}
	return shuffled(rng, lanes)
}

// shuffled merges lanes at random and keeps the order within each. A step without a function waits for the step of the same
// name that has one.
func shuffled(rng *rand.Rand, lanes [][]step) (all []step) {
	happened := map[string]bool{}
	for len(lanes) > 0 {
		i := rng.IntN(len(lanes))
		next := lanes[i][0]
		if next.do == nil && !happened[next.what] {
			continue
		}
		if next.do != nil {
			happened[next.what] = true
			all = append(all, next)
		}
		if lanes[i] = lanes[i][1:]; len(lanes[i]) == 0 {
			lanes = slices.Delete(lanes, i, i+1)
		}
	}
	return all
}

// rules returns policies with different settings.
func rules() map[string]policy.Policy {
	two, lets, by := policy.Default(), policy.Default(), policy.Default()
	two.Need, two.Of = 2, 2
	lets.OnUnscreened = policy.Clear
	low, once := 0.3, 1
	by.Need = 2
	by.Overrides = []policy.Override{{Leg: "caller", Metadata: map[string]string{"queue": "payments"}, Threshold: &low, Need: &once}}
	return map[string]policy.Policy{"default": policy.Default(), "two in a row": two, "lets pass": lets, "overrides": by}
}

// memory returns a folder in main memory if the system has one. The thousands of transactions of this test need no durability.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "callscreen-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// For any order of the events of a call, the database holds the decision of the policy over the known segments. A flag stays,
// and each decision is announced once.
func TestTheDatabaseSaysWhatThePolicySays(t *testing.T) {
	t.Parallel()
	calls := 2000
	if testing.Short() {
		calls = 80
	}
	stories(t, storetest.SQLite(t, memory(t)), calls)
}

// stories applies the events of random calls to a database.
func stories(t *testing.T, s *store.Store, calls int) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	outcomes := map[string]int{}
	for name, p := range rules() {
		c := newClerk(t, s, p)
		for i := range calls / len(rules()) {
			id := fmt.Sprintf("%s %d", name, i)
			rng := rand.New(rand.NewPCG(seed, uint64(i)))
			e := &expected{rules: p, parts: map[store.PartKey]bool{}, decision: policy.Decision{Outcome: policy.OutcomeInconclusive}}
			var told []string
			for _, next := range story(rng, id) {
				next.do(c, e)
				told = append(told, next.what)
				if rng.IntN(4) > 0 {
					continue
				}
				if err := e.compare(c.call(id)); err != nil {
					t.Fatalf("seed %d, call %q: %v\nafter %q", seed, id, err, told)
				}
			}
			if err := e.compare(c.call(id)); err != nil || e.live() || !e.final {
				t.Fatalf("seed %d, call %q: %v\nafter %q", seed, id, err, told)
			}
			outcomes[e.published]++
		}
	}
	t.Logf("%v", outcomes)
	for _, o := range []string{"flagged", "clear", "inconclusive"} {
		if calls >= 1000 && outcomes[o] < calls/50 {
			t.Errorf("only %d random calls are %s", outcomes[o], o)
		}
	}
	checkAnnouncements(t, s)
}

// checkAnnouncements compares the numbers of decisions and messages of all calls with the number of published decisions.
func checkAnnouncements(t *testing.T, s *store.Store) {
	t.Helper()
	decisions, messages, published := map[any]int64{}, map[any]int64{}, map[any]int64{}
	if err := s.Export(t.Context(), func(table string, row map[string]any) error {
		switch name, _ := row["event"].(string); {
		case table == "decision":
			decisions[row["call_id"]]++
		case table == "webhook_message" && (name == event.CallFlagged || name == event.CallCleared || name == event.CallInconclusive):
			messages[row["call_id"]]++
		case table == "call":
			published[row["id"]] = row["decisions"].(int64)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for call, n := range published {
		if decisions[call] != n || messages[call] != n {
			t.Errorf("call %v: %d decisions were counted, %d stored and %d announced", call, n, decisions[call], messages[call])
		}
	}
	if _, _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
}
