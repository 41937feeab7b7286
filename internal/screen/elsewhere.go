package screen

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// missingFor is the time after its recording for which missing audio is looked for, by this node and others: a store may
// show what was written only later, and another node may see what this one does not.
const missingFor = time.Hour

// lookedFor is the least time for which this process looks: the age of a segment may be that of a clock that was wrong.
const lookedFor = 5 * time.Minute

const (
	missingLeast = 2 * time.Second
	missingMost  = time.Minute
)

// elsewhere handles a segment whose audio this node does not find. Another node may find it; after a long time it fails.
func (w *Worker) elsewhere(ctx context.Context, job *river.Job[store.SegmentJob], g store.SegmentRow, missing error) error {
	age := w.cfg.Since(g.RecordedAt)
	first, _ := w.missing.LoadOrStore(g.ID, w.cfg.Now())
	since, _ := first.(time.Time)
	if age > min(missingFor, w.cfg.MaxAge) && w.cfg.Since(since) >= lookedFor {
		w.missing.Delete(g.ID)
		return w.fail(ctx, job, g, report.ReasonStorage, missing.Error())
	}
	wait := min(max(age/4, missingLeast), missingMost) // by age, because the attempts of all nodes count together
	w.cfg.Log.Warn("segment audio not found, trying again, here or at another node", "call", g.Call, "segment", g.ID, "in", wait)
	return later(wait)
}
