package stories_test

import (
	"encoding/json"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// sums checks that the ledgers of all legs close, and that the sums of the report are those of its legs.
func (st *story) sums(c store.Call, parts []store.Part) {
	for _, p := range parts {
		for _, l := range p.Legs {
			if l.Ledger == nil {
				st.fatal("leg %s of part %d has no ledger", l.Leg, p.Part)
			}
			if err := l.Ledger.Check(); err != nil {
				st.fatal("leg %s of part %d: %v", l.Leg, p.Part, err)
			}
		}
	}
	var r report.Report
	if err := json.Unmarshal(c.Summary, &r); err != nil {
		st.fatal("%v", err)
	}
	var lost, unrecorded, paused report.Seconds
	for _, l := range r.Legs {
		lost += l.Lost
		unrecorded += l.Unrecorded
		paused += l.Paused
		if l.Ledger != nil {
			if err := l.Ledger.Check(); err != nil {
				st.fatal("leg %s of the report: %v", l.Leg, err)
			}
		}
	}
	near := func(a, b report.Seconds) bool {
		return time.Duration(a-b).Abs() < time.Millisecond*time.Duration(1+len(r.Legs))
	}
	if !near(lost, r.Lost) || !near(unrecorded, r.Unrecorded) || !near(paused, r.Paused) {
		st.fatal("the sums of the report are not those of its legs: %s", c.Summary)
	}
}
