package screen_test

import (
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

// heardFor returns a leg of a part that began so many seconds before noon, and was received for d.
func heardFor(leg string, before int64, d time.Duration, change func(*report.Ledger)) store.LegProgress {
	l := store.LegProgress{
		PartKey:  partAt("a", "n1", before).PartKey,
		Leg:      leg,
		Duration: d,
		Ledger:   &report.Ledger{Recorded: report.Seconds(d)},
		Metadata: []map[string]string{nil},
	}
	if change != nil {
		change(l.Ledger)
	}
	return l
}

func interrupted(l *report.Ledger) { l.Interrupted = true }

// Known fault: the part that began last decided whether a leg was interrupted. Parts of two nodes overlap, and a part in which
// the leg was announced and never sent brought it back.
func TestTheConnectionThatBrokeLastCounts(t *testing.T) {
	t.Parallel()
	call := store.Call{ID: "a", StartedAt: noon.Add(-time.Minute)}
	for name, c := range map[string]struct {
		legs []store.LegProgress
		want bool
	}{
		"came back in a later part": {[]store.LegProgress{
			heardFor("caller", 60, 10*time.Second, interrupted),
			heardFor("caller", 40, 10*time.Second, nil),
		}, false},
		"came back in a part that began earlier": {[]store.LegProgress{
			heardFor("caller", 60, 50*time.Second, nil),
			heardFor("caller", 40, 10*time.Second, interrupted),
		}, false},
		"broke after the later part had ended": {[]store.LegProgress{
			heardFor("caller", 60, 50*time.Second, interrupted),
			heardFor("caller", 40, 10*time.Second, nil),
		}, true},
		"only announced in the later part": {[]store.LegProgress{
			heardFor("caller", 60, 10*time.Second, interrupted),
			heardFor("caller", 40, 0, nil),
		}, true},
	} {
		facts, _ := screen.Facts(&call, c.legs, nil, true)
		if got := facts.Legs["caller"].Ledger.Interrupted; got != c.want {
			t.Errorf("%s: interrupted is %v", name, got)
		}
	}
}

// Known fault: one leg whose ledger is not known switched the rules about the ledger off for all legs.
func TestALegWithoutALedgerExcusesNoOther(t *testing.T) {
	t.Parallel()
	call := store.Call{ID: "a", StartedAt: noon.Add(-time.Minute)}
	unknown := heardFor("agent", 60, time.Minute, nil)
	unknown.Ledger = nil
	busy := heardFor("caller", 60, time.Minute, func(l *report.Ledger) {
		l.Unrecorded = map[string]report.Seconds{"leg_busy": report.Seconds(30 * time.Second)}
	})
	var segments []store.SegmentRow
	for i, leg := range []string{"agent", "caller"} {
		g := stored(partAt("a", "n1", 60), leg, i)
		score := 0.1
		g.State, g.Score = store.SegmentScored, &score
		segments = append(segments, g)
	}
	facts, _ := screen.Facts(&call, []store.LegProgress{unknown, busy}, segments, true)
	r := report.Assemble(policy.Default(), facts)
	if r.Decision != "inconclusive" || len(r.Reasons) != 1 || r.Reasons[0] != "leg_busy" {
		t.Errorf("%s %v", r.Decision, r.Reasons)
	}
}
