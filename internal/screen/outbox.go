package screen

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"callscreen/internal/hook/event"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// settled announces and audits the result of a segment.
func (d *Decider) settled(ctx context.Context, tx *store.Tx, g store.SegmentRow, r store.Settlement) error {
	if r.State == store.SegmentSkipped {
		return tx.Audit(ctx, store.Line{
			At:      r.At,
			Actor:   "machine",
			What:    store.AuditSkipped,
			Call:    g.Call,
			Segment: g.ID,
			Policy:  d.PolicyVersion(),
			Detail:  store.Detail{"reason": r.Reason},
		})
	}
	if err := d.announceSegment(ctx, tx, g, r); err != nil {
		return err
	}
	line := store.Line{
		At:      r.At,
		Actor:   "machine",
		What:    store.AuditScored,
		Call:    g.Call,
		Segment: g.ID,
		Policy:  d.PolicyVersion(),
		Detail:  store.Detail{"job": g.JobID},
	}
	if r.State == store.SegmentScored {
		line.Detail["score"] = *r.Score
	} else {
		line.What, line.Detail["reason"] = store.AuditFailed, r.Reason
	}
	return tx.Audit(ctx, line)
}

func (d *Decider) announceSegment(ctx context.Context, tx *store.Tx, g store.SegmentRow, r store.Settlement) error {
	name := event.SegmentScored
	if r.State == store.SegmentFailed {
		name = event.AnalysisError
	}
	to := d.cfg.Subscribers(name)
	if len(to) == 0 {
		return nil
	}
	g.State, g.Reason, g.Detail, g.Score, g.Verdict, g.Simulated = r.State, r.Reason, r.Detail, r.Score, r.Verdict, r.Simulated
	return addMessage(ctx, tx, name, g.Call, g.ID, r.At, struct {
		Call      string `json:"call"`
		Simulated bool   `json:"simulated,omitempty"`
		report.SegmentReport
	}{g.Call, g.Simulated, segmentReport(g, 0)}, to)
}

// addMessage queues a message about a call. The same event always has the same id.
func addMessage(ctx context.Context, tx *store.Tx, name, call, what string, at time.Time, data any, to []string) error {
	body, err := message(name, at, data)
	if err != nil {
		return err
	}
	_, err = tx.AddMessage(ctx, store.Message{
		ID:        messageID(name, call, what, at.UTC().Format(time.RFC3339Nano)),
		Event:     name,
		Call:      call,
		CreatedAt: at,
		Body:      string(body),
	}, to)
	return err
}

// messageID returns the id of a message, which is the same whenever and wherever its event is announced.
func messageID(of ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(of, "\x00")))
	return "msg_" + hex.EncodeToString(sum[:12])
}

// message returns the body of a message in the form of Standard Webhooks.
func message(name string, at time.Time, data any) ([]byte, error) {
	return json.Marshal(struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      any       `json:"data"`
	}{name, at.UTC(), data})
}
