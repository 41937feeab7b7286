package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"

	"callscreen/internal/report"
)

// Reasons for audio that is missing. A call with missing audio is not clear, because the content is unknown.
const (
	ReasonInterrupted = "interrupted"        // the recording broke off
	ReasonStorage     = report.ReasonStorage // it was recorded, and could not be kept
)

// unknownLeg is the name of the leg of an interrupted part that has none.
const unknownLeg = "unknown"

// brokenOff adds a segment of unknown length to the end of each leg of an interrupted part. It counts as a failed
// analysis. It is removed if the part continues because its node was only frozen.
//
// A part whose process died before it stored a leg gets one of an unknown name: another part of the call may be complete,
// and the call must not be clear by that alone.
func (t *Tx) brokenOff(ctx context.Context, p Part) error {
	if _, err := t.exec(
		ctx,
		"DELETE FROM segment WHERE call_id = $1 AND part = $2 AND node = $3 AND seq = -1",
		p.Call,
		p.Part,
		p.Node,
	); err != nil {
		return fmt.Errorf("save part of call %s: %w", p.Call, err)
	}
	if p.How == "" || p.EndedAt.IsZero() {
		return nil
	}
	legs := map[string]int64{}
	rows, err := t.tx.QueryContext(
		ctx,
		`SELECT leg, max(took) FROM (
			SELECT leg, duration_ms AS took FROM leg WHERE call_id = $1 AND part = $2 AND node = $3
			UNION ALL
			SELECT leg, offset_ms + duration_ms FROM segment WHERE call_id = $1 AND part = $2 AND node = $3
		) AS known GROUP BY leg`,
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
		return fmt.Errorf("read legs of call %s: %w", p.Call, err)
	}
	if len(legs) == 0 {
		legs[unknownLeg] = 0
	}
	for leg, took := range legs {
		id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s", p.Call, p.Node, p.Part, leg))
		if _, err := t.AddSegment(ctx, SegmentRow{
			ID:         "broken-off-" + hex.EncodeToString(id[:10]),
			PartKey:    p.PartKey,
			Leg:        leg,
			Seq:        -1,
			Offset:     duration(took),
			RecordedAt: p.EndedAt,
			State:      SegmentFailed,
			Reason:     ReasonInterrupted,
			Detail:     "the recording was interrupted here",
		}); err != nil {
			return err
		}
	}
	return nil
}

// missing adds a segment of unknown length for each segment that was cut but has no row at the end of its part, because
// its entry in the spool is gone or unreadable. It counts as a failed analysis, and is replaced if the segment turns
// up.
func (t *Tx) missing(ctx context.Context, p Part) error {
	if p.EndedAt.IsZero() {
		return nil
	}
	for _, l := range p.Legs {
		if l.Segments == 0 {
			continue
		}
		next, ends := 0, map[int]int64{} // for each missing segment: the end of the one before it
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
			return fmt.Errorf("count segments of leg %s of call %s: %w", l.Leg, p.Call, err)
		}
		for ; next < l.Segments; next++ {
			ends[next] = at
		}
		for seq, at := range ends {
			if _, err := t.AddSegment(ctx, SegmentRow{
				ID:         missingID(p.PartKey, l.Leg, seq),
				PartKey:    p.PartKey,
				Leg:        l.Leg,
				Seq:        seq,
				Offset:     duration(at),
				RecordedAt: p.EndedAt,
				State:      SegmentFailed,
				Reason:     ReasonStorage,
				Detail:     "it was recorded, but its spool entry is missing or unreadable",
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// missingID returns the id of the placeholder for a missing segment.
func missingID(p PartKey, leg string, seq int) string {
	id := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%d", p.Call, p.Node, p.Part, leg, seq))
	return "missing-" + hex.EncodeToString(id[:10])
}
