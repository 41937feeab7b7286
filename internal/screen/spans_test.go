package screen_test

import (
	"fmt"
	"testing"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/screen"
	"callscreen/internal/store"
)

// The places in the ledger of a leg count from the start of the call, also if the leg joined in a later part.
func TestSpansCountFromTheStartOfTheCall(t *testing.T) {
	c := &store.Call{ID: "c", StartedAt: noon, Number: 1}
	leg := func(name string, after int64) store.LegProgress {
		return store.LegProgress{
			PartKey:  store.PartKey{Call: "c", Part: noon.UnixMilli() + 1000*after, Node: "n"},
			Leg:      name,
			Duration: 20 * time.Second,
			Ledger: &report.Ledger{
				Spans:  []report.Span{{Start: report.Seconds(time.Second), End: report.Seconds(2 * time.Second), Reason: "lost"}},
				Pauses: []report.Pause{{By: "anna", From: report.Seconds(3 * time.Second), To: report.Seconds(4 * time.Second)}},
			},
		}
	}
	stored := []store.LegProgress{leg("agent", 30), leg("caller", 0), leg("caller", 60)}
	for range 2 { // the stored ledgers do not change
		f, _ := screen.Facts(c, stored, nil, true)
		for name, want := range map[string]string{"agent": "[31] [33]", "caller": "[1 61] [3 63]"} {
			var spans, pauses []float64
			for _, s := range f.Legs[name].Ledger.Spans {
				spans = append(spans, time.Duration(s.Start).Seconds())
			}
			for _, p := range f.Legs[name].Ledger.Pauses {
				pauses = append(pauses, time.Duration(p.From).Seconds())
			}
			if got := fmt.Sprint(spans, pauses); got != want {
				t.Errorf("%s: spans and pauses at %s, want %s", name, got, want)
			}
		}
	}
}
