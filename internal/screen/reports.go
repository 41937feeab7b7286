package screen

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// summarize returns the report of a call without its segments, and the number of segments that are not settled. While the
// call goes on, the decision covers what was analysed so far.
func summarize(by policy.Policy, c *store.Call, parts []store.Part, segments []store.SegmentRow, ended bool) (report.Report, int) {
	legs, segments := ofNumber(c.Number, parts, segments)
	facts, open := Facts(c, legs, segments, ended)
	r := report.Assemble(by, facts)
	var warnings []string
	for _, p := range parts {
		if p.Number == c.Number {
			warnings = append(warnings, p.Warnings...)
		}
	}
	r.Call, r.Simulated, r.Warnings = c.ID, c.Simulated, append(warnings, r.Warnings...)
	if c.Number > 1 {
		r.Number = c.Number
	}
	return r, open
}

// Summary returns the report of a stored call by the policy in force, without its segments.
func (d *Decider) Summary(c store.Call, parts []store.Part, segments []store.SegmentRow) report.Report {
	r, _, _ := d.judge(&c, parts, segments, c.State == store.CallEnded)
	return r
}

// segmentReport returns the report of a stored segment, shift later in the call than in its part.
func segmentReport(g store.SegmentRow, shift time.Duration) report.SegmentReport {
	return report.SegmentReport{
		ID:       g.ID,
		Leg:      g.Leg,
		Seq:      g.Seq,
		Offset:   report.Seconds(g.Offset + shift),
		Duration: report.Seconds(g.Duration),
		Speech:   report.Seconds(g.Speech),
		Lost:     report.Seconds(g.Lost),
		State:    g.State,
		Score:    g.Score,
		Verdict:  g.Verdict,
		JobID:    g.JobID,
		Reason:   g.Reason,
		Detail:   g.Detail,
		Cleaned:  g.Cleaned,
		Resent:   g.Resent > 0,
		Audio:    g.AudioKey != "",
		SHA256:   g.AudioSHA256,
		Pieces:   shifted(g.Pieces, shift),
	}
}

func shifted(pieces []report.Piece, shift time.Duration) []report.Piece {
	var all []report.Piece
	for _, p := range pieces {
		p.Offset += report.Seconds(shift)
		all = append(all, p)
	}
	return all
}

func (d *Decider) live(c store.Call, r report.Report) report.CallReport {
	l := report.CallReport{
		Report:    r,
		State:     c.State,
		Final:     c.Final,
		StartedAt: c.StartedAt,
		Metadata:  c.Metadata,
	}
	if !c.EndedAt.IsZero() {
		l.EndedAt = &c.EndedAt
	}
	return l
}

func (d *Decider) report(c store.Call, segments []store.SegmentRow) (report.CallReport, error) {
	var r report.Report
	if len(c.Summary) > 0 {
		if err := json.Unmarshal(c.Summary, &r); err != nil {
			return report.CallReport{}, fmt.Errorf("summary of call %s: %w", c.ID, err)
		}
	} else { // nothing is decided yet
		r, _ = summarize(d.Policy(), &c, nil, nil, false)
	}
	r.Simulated = c.Simulated
	r.Segments = make([]report.SegmentReport, 0, len(segments))
	for _, g := range segments {
		// The offsets of a later part count from its start, those of the report from the start of the call.
		r.Segments = append(r.Segments, segmentReport(g, time.UnixMilli(g.Part).Sub(c.StartedAt)))
	}
	report.SortSegments(r.Segments)
	return d.live(c, r), nil
}

// Begun returns the report of a call that the database does not have yet.
func (d *Decider) Begun(p store.Part) (report.CallReport, error) {
	metadata := p.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	return d.report(store.Call{
		ID:        p.Call,
		State:     store.CallLive,
		StartedAt: time.UnixMilli(p.Part).UTC(),
		Metadata:  metadata,
		Simulated: p.Simulated,
	}, nil)
}

// Report returns the report of a call. The error is store.ErrNotFound if there is none.
func (d *Decider) Report(ctx context.Context, call string) (report.CallReport, error) {
	c, err := d.cfg.Store.Call(ctx, call)
	if err != nil {
		return report.CallReport{}, err
	}
	segments, err := d.cfg.Store.Segments(ctx, call)
	if err != nil {
		return report.CallReport{}, err
	}
	return d.report(c, segments)
}

// Summaries returns what Reports does, without the segments.
func (d *Decider) Summaries(ctx context.Context, f store.Filter) ([]report.CallReport, *store.Cursor, error) {
	calls, next, err := d.cfg.Store.Calls(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	list := make([]report.CallReport, 0, len(calls))
	for _, c := range calls {
		r, err := d.report(c, nil)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, r)
	}
	return list, next, nil
}

// Reports returns the reports of calls, newest first, and the cursor of the next page, nil at the end.
func (d *Decider) Reports(ctx context.Context, f store.Filter) ([]report.CallReport, *store.Cursor, error) {
	calls, next, err := d.cfg.Store.Calls(ctx, f)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.ID
	}
	of, err := d.cfg.Store.Shown(ctx, ids...)
	if err != nil {
		return nil, nil, err
	}
	list := make([]report.CallReport, 0, len(calls))
	for _, c := range calls {
		r, err := d.report(c, of[c.ID])
		if err != nil {
			return nil, nil, err
		}
		list = append(list, r)
	}
	return list, next, nil
}
