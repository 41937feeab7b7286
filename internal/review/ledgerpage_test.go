package review_test

import (
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// heard is a leg with a ledger: 2 s lost, a pause of 5 s by anna, and 30 packets of another sender.
func heard(k store.PartKey, leg string) store.LegProgress {
	at := func(n int) report.Seconds { return report.Seconds(time.Duration(n) * time.Second) }
	return store.LegProgress{
		PartKey:  k,
		Leg:      leg,
		Duration: 30 * time.Second,
		Lost:     2 * time.Second,
		Ledger: &report.Ledger{
			Recorded:   at(23),
			Paused:     at(5),
			Unrecorded: map[string]report.Seconds{"leg_busy": report.Seconds(600 * time.Millisecond)},
			Packets: &report.Packets{
				Sent:       1530,
				Recorded:   1150,
				Lost:       100,
				Paused:     250,
				Unrecorded: map[string]int64{"leg_busy": 30},
			},
			Spans:  []report.Span{{Start: at(8), End: at(10), Reason: "lost"}, {Start: at(20), End: at(25), Reason: "paused"}},
			Pauses: []report.Pause{{By: "anna", ResumedBy: "bob", From: at(20), To: at(25)}},
		},
	}
}

// The page shows the ledger of each leg, the places without audio with the names of those who paused, and the number of a
// call whose id was used again.
func TestThePageShowsTheLedger(t *testing.T) {
	o := newOffice(t, nil)
	o.say("c1", "caller", 0, 0, 8*time.Second, 0.93)
	p := part("c1")
	p.EndedAt, p.Legs = begun.Add(30*time.Second), []store.LegProgress{heard(p.PartKey, "caller")}
	o.must(o.desk.Progress(t.Context(), p))
	for what, actor := range map[string]string{store.AuditLegPaused: "anna", store.AuditLegResumed: "bob", store.AuditLegStopped: "pbx"} {
		o.must(o.store.AddAudit(t.Context(), store.Line{
			At:     o.now,
			Actor:  actor,
			What:   what,
			Call:   "c1",
			Detail: store.Detail{"leg": "caller", "discarded_seconds": 5},
		}))
	}
	_, page := o.see("/calls/c1", "vera")
	wants(
		t,
		"the ledger",
		page,
		"2.0 s of caller lost. 0.6 s of caller not recorded. 5.0 s of caller paused.",
		`<td data-label="Not recorded">0.6 s <span class="what">another sender was recorded as this leg</span></td>`,
		`<td data-label="Paused">5.0 s <span class="what">by anna</span></td>`,
		"1530 packets sent = 1150 recorded &#43; 100 lost &#43; 250 paused &#43; 30 not recorded",
		`<g class="gap lost"><title>caller, 0:08 to 0:10: lost on the network</title>`,
		`<g class="gap paused"><title>caller, 0:20 to 0:25: paused by anna, resumed by bob</title>`,
		`<i class="gap paused"></i>paused`,
		"2 places without audio",
		`<span class="at">0:20–0:25</span> <b>caller</b> paused by anna, resumed by bob`,
		"paused the recording of caller",
		"resumed the recording of caller, 5.0 s were discarded",
		"stopped the recording of caller",
		"not",
		"call with this id",
		"not",
		`<i class="gap unread">`,
	)

	// The id is used again.
	next := part("c1")
	next.Part = begun.Add(30 * time.Minute).UnixMilli()
	next.EndedAt = begun.Add(31 * time.Minute)
	next.Legs = []store.LegProgress{heard(next.PartKey, "caller")}
	next.Legs[0].PartKey = next.PartKey
	o.must(o.desk.Progress(t.Context(), next))
	_, page = o.see("/calls/c1", "vera")
	wants(
		t,
		"the second call",
		page,
		"2nd call with this id",
		"of the 1st call with this id",
		"now the 2nd call with this id",
		"an earlier call with this id is not reviewed",
		"caller, 30:08 to 30:10: lost on the network",
	)
	_, page = o.see("/?tab=all", "vera")
	wants(t, "the list", page, "2nd call with this id")
}

// A call of an earlier version has no ledger. The page names that instead of zeros.
func TestACallWithoutALedger(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	_, page := o.see("/calls/c1", "vera")
	wants(t, "no ledger", page, "not known", "recorded by an earlier version", "0.4 s of caller lost", "not", "places without audio")
}

// A decision that replaces another names it.
func TestTheHistoryNamesThePreviousDecision(t *testing.T) {
	o := newOffice(t, nil)
	o.say("c1", "caller", 0, 0, 8*time.Second, 0.1)
	o.hangUp("c1", 10*time.Second, "caller")
	g := o.say("c1", "caller", 1, 10*time.Second, 8*time.Second, 0.95)
	_, page := o.see("/calls/c1", "vera")
	wants(t, "the history of "+g.ID, page, "decided: clear", "decided: flagged, previously clear, score 0.95")
}
