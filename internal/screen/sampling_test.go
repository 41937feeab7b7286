package screen_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"callscreen/analyzer"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// All segments of a leg are analysed until Enough is reached, and while the leg is suspicious. Otherwise one segment is
// analysed in each Recheck interval. Other legs have no influence.
func TestAPlanSparesOnlyWhatIsKnown(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 1))
		plan := screen.Plan{Enough: time.Duration(rng.IntN(90)) * time.Second, Recheck: time.Duration(1+rng.IntN(120)) * time.Second}
		const clearBelow = 0.4
		all := []store.SegmentRow{}
		heard, lastHeard, lastScore := time.Duration(0), -time.Hour, 0.0
		fail := func(g store.SegmentRow, why string) {
			t.Errorf("seed %d, %+v: segment at %v: %s", seed, plan, g.Offset, why)
		}
		at := time.Duration(0)
		for i := range 60 {
			length := time.Duration(2+rng.IntN(28)) * time.Second
			g := store.SegmentRow{
				ID:       fmt.Sprint(i),
				PartKey:  store.PartKey{Call: "c", Part: 1_780_000_000_000, Node: "n"},
				Leg:      "caller",
				Offset:   at,
				Duration: length,
				Speech:   length / 2,
				State:    store.SegmentRecorded,
			}
			at += length
			if rng.IntN(5) == 0 { // another leg, whose score must have no influence
				score := 0.9
				all = append(all, store.SegmentRow{
					ID:      "x" + g.ID,
					PartKey: g.PartKey,
					Leg:     "agent",
					Offset:  g.Offset,
					Speech:  time.Hour,
					State:   store.SegmentScored,
					Score:   &score,
				})
			}
			spared := plan.Spares(g, all, clearBelow)
			switch {
			case plan.Enough == 0 && spared:
				fail(g, "spared without a plan")
			case heard < plan.Enough && spared:
				fail(g, "spared before Enough was reached")
			case lastScore >= clearBelow && spared:
				fail(g, "spared although the leg is suspicious")
			case g.Offset-lastHeard >= plan.Recheck && spared:
				fail(g, "spared although Recheck has passed")
			case plan.Enough > 0 && heard >= plan.Enough && lastScore < clearBelow && g.Offset-lastHeard < plan.Recheck && !spared:
				fail(g, "not spared although the plan requires no analysis")
			}
			if spared {
				g.State = store.SegmentSkipped
			} else {
				score := rng.Float64() * 0.39
				if rng.IntN(10) == 0 {
					score = 0.4 + 0.6*rng.Float64()
				}
				g.State, g.Score = store.SegmentScored, &score
				heard, lastHeard, lastScore = heard+g.Speech, g.Offset, score
			}
			all = append(all, g)
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		}
	}
}

// A spared segment is not submitted and is reported as skipped. It does not make the call clear unless the policy allows it.
func TestWhatIsSparedIsNotPaidFor(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	n.call("a", 20) // 4 s each
	n.work(func(w *screen.WorkerConfig) { w.Plan = screen.Plan{Enough: 8 * time.Second, Recheck: 20 * time.Second} })
	r := n.final("a")
	var want []string
	for i := range 20 {
		how := "skipped/sampled"
		if i < 2 || i == 6 || i == 11 || i == 16 { // at 0, 4, 24, 44 and 64 s
			how = "scored"
		}
		want = append(want, fmt.Sprintf("caller%d %s", i, how))
	}
	if got := states(r); got != strings.Join(want, ", ") {
		t.Errorf("%s", got)
	}
	if len(n.api.uploaded()) != 5 || n.audited("a", store.AuditSkipped) != 15 || n.audited("a", store.AuditScored) != 5 {
		t.Errorf("%d uploads, %d audit lines about spared segments", len(n.api.uploaded()), n.audited("a", store.AuditSkipped))
	}
	if r.Decision != "inconclusive" || strings.Join(r.Reasons, " ") != "too_little_coverage" || time.Duration(r.Analysed) != 20*time.Second ||
		time.Duration(r.Speech) != 80*time.Second {
		t.Errorf("%s %v, %v of %v", r.Decision, r.Reasons, r.Analysed, r.Speech)
	}
}

// All segments of a suspicious leg are analysed.
func TestASuspiciousLegIsNotSpared(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	n.inFlight = 1
	n.api.told(nil, func(_ context.Context, job string, _ int) (analyzer.Result, error) { return scored(job, 0.5), nil })
	n.call("a", 10)
	n.work(func(w *screen.WorkerConfig) { w.Plan = screen.Plan{Enough: 4 * time.Second, Recheck: time.Hour} })
	if n.final("a"); len(n.api.uploaded()) != 10 {
		t.Errorf("%s", states(n.report("a")))
	}
}
