package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"

	"callscreen/internal/report"
)

// Why a call is not clear of which something is not there: nobody knows what was said then.
const (
	ReasonInterrupted = "interrupted"        // the recording broke off
	ReasonStorage     = report.ReasonStorage // it was recorded, and could not be kept
)

// brokenOff puts something of unknown length at the end of each leg of a part that broke off, which counts like an analysis
// that failed. A part that turns out to go on, because its node was only frozen, has it taken away again.
func (t *Tx) brokenOff(ctx context.Context, p Part) error {
	if _, err := t.exec(
		ctx,
		"DELETE FROM segment WHERE call_id = $1 AND part = $2 AND node = $3 AND seq = -1",
		p.Call,
		p.Part,
		p.Node,
	); err != nil {
		return fmt.Errorf("note a part of call %s: %w", p.Call, err)
	}
	if p.How == "" || p.EndedAt.IsZero() {
		return nil
	}
	legs := map[string]int64{}
	rows, err := t.tx.QueryContext(
		ctx,
		"SELECT leg, duration_ms FROM leg WHERE call_id = $1 AND part = $2 AND node = $3",
		p.Call,
		p.Part,
		p.Node,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var leg string
		var took int64
		defer func() { legs[leg] = took }()
		return r.Scan(&leg, &took)
	})
	if err != nil {
		return fmt.Errorf("look at the legs of call %s: %w", p.Call, err)
	}
	for leg, took := range legs {
		id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", p.Call, p.Node, p.Part, leg))
		if _, err := t.AddSegment(ctx, Segment{
			ID:         "broken-off-" + hex.EncodeToString(id[:10]),
			PartKey:    p.PartKey,
			Leg:        leg,
			Seq:        -1,
			Offset:     duration(took),
			RecordedAt: p.EndedAt,
			State:      SegmentFailed,
			Reason:     ReasonInterrupted,
			Detail:     "the recording broke off here",
		}); err != nil {
			return err
		}
	}
	return nil
}

// missing puts something of unknown length where a segment was cut of which there is no row when its part ends: its entry in
// the spool is gone, or cannot be read. It counts like an analysis that failed, and gives way if the segment turns up.
func (t *Tx) missing(ctx context.Context, p Part) error {
	if p.EndedAt.IsZero() {
		return nil
	}
	for _, l := range p.Legs {
		if l.Segments == 0 {
			continue
		}
		next, ends := 0, map[int]int64{} // of each that is not there: where the one before it ends
		var at int64
		rows, err := t.tx.QueryContext(
			ctx,
			"SELECT seq, offset_ms + duration_ms FROM segment WHERE call_id = $1 AND part = $2 AND node = $3 AND leg = $4 AND seq >= 0 ORDER BY seq",
			p.Call,
			p.Part,
			p.Node,
			l.Leg,
		)
		err = each(rows, err, func(r *sql.Rows) error {
			var seq int
			var end int64
			if err := r.Scan(&seq, &end); err != nil {
				return err
			}
			for ; next < min(seq, l.Segments); next++ {
				ends[next] = at
			}
			next, at = seq+1, end
			return nil
		})
		if err != nil {
			return fmt.Errorf("count the segments of leg %s of call %s: %w", l.Leg, p.Call, err)
		}
		for ; next < l.Segments; next++ {
			ends[next] = at
		}
		for seq, at := range ends {
			if _, err := t.AddSegment(ctx, Segment{
				ID:         missingID(p.PartKey, l.Leg, seq),
				PartKey:    p.PartKey,
				Leg:        l.Leg,
				Seq:        seq,
				Offset:     duration(at),
				RecordedAt: p.EndedAt,
				State:      SegmentFailed,
				Reason:     ReasonStorage,
				Detail:     "it was recorded, and is not in the spool any more or cannot be read",
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// missingID names what stands for a segment that is not there.
func missingID(p PartKey, leg string, seq int) string {
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%d", p.Call, p.Node, p.Part, leg, seq))
	return "missing-" + hex.EncodeToString(id[:10])
}
