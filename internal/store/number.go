package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// resumeWithin is the time after the end of a call within which a leg that lost its connection may come back.
const resumeWithin = 15 * time.Minute

// numberOf returns the number of the call that a part belongs to. A part that starts after its call has ended is a new call
// with the same id, unless a leg of the old one may be coming back.
func (t *Tx) numberOf(ctx context.Context, c Call, p Part) (int, error) {
	if c.EndedAt.IsZero() || p.Part <= c.EndedAt.UnixMilli() {
		return c.Number, nil
	}
	var broken int
	err := t.tx.QueryRowContext(
		ctx,
		`SELECT (SELECT count(*) FROM part WHERE call_id = $1 AND number = $2 AND how <> '')
			+ (SELECT count(*) FROM leg JOIN part ON part.call_id = leg.call_id AND part.part = leg.part AND part.node = leg.node
				WHERE leg.call_id = $1 AND part.number = $2 AND leg.interrupted = 1)`,
		c.ID,
		c.Number,
	).Scan(&broken)
	if err != nil {
		return 0, fmt.Errorf("read parts of call %s: %w", c.ID, err)
	}
	if broken > 0 && p.Part-c.EndedAt.UnixMilli() <= resumeWithin.Milliseconds() {
		return c.Number, nil
	}
	return c.Number + 1, nil
}

// nextNumber starts a new call with the id of an ended one. The published decision of the earlier call stays until a person
// closes its review: a new call cannot replace it with a milder one.
func (t *Tx) nextNumber(ctx context.Context, c *Call) error {
	r, err := scanReview(t.tx.QueryRowContext(ctx, "SELECT "+reviewColumns+" FROM review WHERE call_id = $1", c.ID))
	switch {
	case errors.Is(err, ErrNoReview):
	case err != nil:
		return err
	case r.State == ReviewWaiting && (c.Published == "flagged" || c.Carried == ""):
		c.Carried = c.Published
	case r.State == ReviewClosed:
		c.Carried = ""
	}
	if c.Carried == "clear" {
		c.Carried = ""
	}
	c.Number++
	c.Published, c.Decision, c.Final, c.Review, c.Score, c.Summary = "", "inconclusive", false, false, nil, nil
	return nil
}
