package simulation_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver"

	"callscreen/internal/store"
)

// limit is the number of uploads of one clip.
func (w *world) limit() int {
	if w.resend {
		return 2
	}
	return 1
}

// waits reports whether a segment may wait for a person: all uploads that it is allowed were made, or a process that began one
// was disturbed and could not store that nothing was sent; and the nodes know of no job.
func (w *world) waits(g store.SegmentRow) bool {
	w.api.mu.Lock()
	defer w.api.mu.Unlock()
	return g.JobID == "" && (len(w.api.ups[w.promised[g.ID]]) >= w.limit() || g.Reason == store.ReasonInDoubt && w.disturbed)
}

// segments returns all segments of the world.
func (w *world) segments() map[string]store.SegmentRow {
	all := map[string]store.SegmentRow{}
	var ids []string
	for _, c := range w.calls {
		ids = append(ids, c.id)
	}
	list, err := w.nodes[0].store.Segments(context.Background(), ids...)
	w.must(err)
	for _, g := range list {
		all[g.ID] = g
	}
	return all
}

// done reports whether all is settled, decided and delivered.
func (w *world) done() bool {
	for _, c := range w.calls {
		if !c.over {
			return false
		}
	}
	for _, n := range w.nodes {
		if waiting, _ := n.forwarder.Waiting(); waiting > 0 {
			return false
		}
	}
	all := w.segments()
	for id := range w.promised {
		if g, ok := all[id]; !ok || !g.Settled() && !w.waits(g) {
			return false
		}
	}
	for _, c := range w.calls {
		row, err := w.nodes[0].store.Call(context.Background(), c.id)
		if err != nil && c.process != nil || err == nil && row.State != store.CallEnded {
			return false
		}
	}
	due, err := w.nodes[0].store.DeliveriesDue(context.Background(), "crm", time.Now().Add(1000*time.Hour))
	w.must(err)
	return due == 0
}

// claims checks the promises at the end.
func (w *world) claims() {
	ctx := context.Background()
	db := w.nodes[0].store
	all := w.segments()
	for id, clip := range w.promised {
		g, ok := all[id]
		if !ok {
			w.wrong("segment %s was promised, and is not in the database", id)
			continue
		}
		w.segment(g, clip)
	}
	for _, c := range w.calls {
		if c.process == nil {
			continue
		}
		row, err := db.Call(ctx, c.id)
		if err != nil {
			w.wrong("%s: %v", c.id, err)
			continue
		}
		w.call(c, row, all)
	}
	if due := w.undelivered(); due > 0 {
		w.wrong("%d messages are not delivered", due)
	}
	if _, _, err := db.VerifyAudit(ctx); err != nil {
		w.wrong("%v", err)
	}
	w.haste(all)
}

// undelivered waits for the delivery of messages that were made just now, and returns the number of those that remain.
func (w *world) undelivered() (due int) {
	for range 10 {
		var err error
		due, err = w.nodes[0].store.DeliveriesDue(context.Background(), "crm", time.Now().Add(1000*time.Hour))
		if w.must(err); due == 0 {
			break
		}
		time.Sleep(10 * time.Second)
	}
	return due
}

// segment checks what became of a segment that was promised.
func (w *world) segment(g store.SegmentRow, clip int) {
	ups := w.api.uploads(clip)
	if len(ups) > w.limit() {
		w.wrong("segment %s was uploaded %d times", g.ID, len(ups))
	}
	resent := 0
	lines, err := w.nodes[0].store.AuditOf(context.Background(), g.Call)
	w.must(err)
	for _, l := range lines {
		if l.What == store.AuditResent && l.Segment == g.ID {
			resent++
		}
	}
	if len(ups)-1 > resent {
		w.wrong("segment %s was uploaded %d times, and the audit has %d repetitions", g.ID, len(ups), resent)
	}
	switch {
	case g.State == store.SegmentScored:
		if (*g.Score > 0.6) != w.synthetic[clip] {
			w.wrong("segment %s has the score %v of another", g.ID, *g.Score)
		}
	case g.State == store.SegmentFailed && w.unusable[clip] && g.Reason == "job_failed":
	case !g.Settled() && w.waits(g):
	default:
		w.wrong("segment %s of %s is %s, %s: %s; %d uploads, job %q, queue %s", g.ID, g.Call, g.State, g.Reason, g.Detail, len(ups), g.JobID,
			w.queued(g.ID))
	}
}

// queued describes the job of a segment in the queue.
func (w *world) queued(segment string) string {
	list, err := w.nodes[0].store.Driver().GetExecutor().JobGetByKindMany(context.Background(),
		&riverdriver.JobGetByKindManyParams{Kind: []string{"segment"}})
	w.must(err)
	for _, j := range list {
		if strings.Contains(string(j.EncodedArgs), segment) {
			return fmt.Sprintf("%s, attempt %d of %v, at %v", j.State, j.Attempt, j.AttemptedBy, j.ScheduledAt.Sub(w.began))
		}
	}
	return "none"
}

// call checks the decision of a call.
func (w *world) call(c *call, row store.Call, all map[string]store.SegmentRow) {
	flagged, whole, settled := false, true, true
	for id, clip := range w.promised {
		if w.callOf[clip] != c {
			continue
		}
		g := all[id]
		settled = settled && g.Settled()
		whole = whole && g.State == store.SegmentScored
		flagged = flagged || g.State == store.SegmentScored && w.synthetic[clip]
	}
	if row.State != store.CallEnded {
		w.wrong("%s is %s", c.id, row.State)
	}
	parts, err := w.nodes[0].store.PartsOf(context.Background(), c.id)
	w.must(err)
	broken := false
	for _, p := range parts {
		broken = broken || p.How != ""
		if p.How != "" && !c.process.gone() && !c.process.disturbed(time.UnixMilli(c.key.Part)) {
			w.wrong("%s was ended by %q while its node recorded it", c.id, p.How)
		}
	}
	want := "clear"
	switch {
	case flagged:
		want = "flagged"
	case !settled && !broken:
		want = ""
	case !whole || broken:
		want = "inconclusive"
	}
	if row.Published != want && (settled || flagged) {
		w.wrong("%s is %q, want %q: %s", c.id, row.Published, want, row.Summary)
	}
	if row.Published == "clear" && want != "clear" {
		w.wrong("%s is clear", c.id)
	}
}

// haste checks that jobs whose upload is paid for, and live calls, do not wait for a backlog.
func (w *world) haste(all map[string]store.SegmentRow) {
	const soon = 2 * time.Minute
	for id, g := range all {
		clip := w.promised[id]
		switch {
		case !g.Settled():
		case w.callOf[clip] == w.last && w.settledTime(id).Sub(w.healed) > soon:
			w.wrong("the call after the outage has its result %v after it", w.settledTime(id).Sub(w.healed))
		}
		j := w.api.job(g.JobID)
		if j == nil || g.SubmittedAt.IsZero() {
			continue
		}
		from := w.healed
		if j.doneAt.After(from) {
			from = j.doneAt
		}
		if d := w.settledTime(id).Sub(from); d > soon {
			w.wrong("the result of segment %s was there for %v", id, d)
		}
	}
}

// failed returns the broken promises, or "".
func (w *world) failed() string {
	if len(w.errs) == 0 {
		return ""
	}
	return fmt.Sprintf("seed %d, %d nodes:\n%s\n\n%s\n\n%s", w.seed, len(w.names),
		strings.Join(w.errs, "\n"), strings.Join(w.log, "\n"), w.lines.String())
}
