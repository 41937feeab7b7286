package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Decision is an outcome that was announced.
type Decision struct {
	Call          string
	Seq           int // 1 for the first of a call
	At            time.Time
	Outcome       string
	Score         *float64
	Threshold     float64
	Reasons       []string
	PolicyVersion int64
}

// AddDecision keeps a decision. Another of the same number is an error.
func (t *Tx) AddDecision(ctx context.Context, d Decision) error {
	reasons, err := json.Marshal(d.Reasons)
	if err != nil {
		return err
	}
	if _, err := t.exec(
		ctx,
		"INSERT INTO decision (call_id, seq, at_ms, outcome, score, threshold, reasons, policy_version) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
		d.Call,
		d.Seq,
		millis(d.At),
		d.Outcome,
		d.Score,
		d.Threshold,
		string(reasons),
		d.PolicyVersion,
	); err != nil {
		return fmt.Errorf("keep decision %d of call %s: %w", d.Seq, d.Call, err)
	}
	return nil
}

// The states of a review.
const (
	ReviewWaiting = "waiting"
	ReviewClosed  = "closed"
)

// OpenReview puts a call before a person, unless it is there already. A review that was closed is opened again: what was
// decided since is news.
func (t *Tx) OpenReview(ctx context.Context, call string, now time.Time) error {
	if _, err := t.exec(
		ctx,
		`INSERT INTO review (call_id, opened_ms, state) VALUES ($1, $2, 'waiting')
		ON CONFLICT (call_id) DO UPDATE SET state = 'waiting', version = review.version + 1 WHERE review.state = 'closed'`,
		call,
		millis(now),
	); err != nil {
		return fmt.Errorf("open the review of call %s: %w", call, err)
	}
	return t.reviewState(ctx, call, ReviewWaiting)
}

// UsePolicy notes the policy that is in force and returns its version, which is that of an earlier use if the same
// policy was in force before.
func (s *Store) UsePolicy(ctx context.Context, body []byte, now time.Time) (version int64, err error) {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	err = s.InTx(ctx, func(t *Tx) error {
		// The end of the audit is also what keeps two nodes from making the same version.
		var head int64
		if err := t.tx.QueryRowContext(ctx, "SELECT seq FROM audit_head WHERE id = 1"+t.s.forUpdate()).Scan(&head); err != nil {
			return err
		}
		if err := t.tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) FROM policy WHERE sha256 = $1", digest).Scan(
			&version,
		); err != nil ||
			version > 0 {
			return err
		}
		if err := t.tx.QueryRowContext(ctx, "SELECT coalesce(max(version), 0) + 1 FROM policy").Scan(&version); err != nil {
			return err
		}
		if _, err := t.exec(
			ctx,
			"INSERT INTO policy (version, sha256, body, created_ms) VALUES ($1, $2, $3, $4)",
			version,
			digest,
			string(body),
			millis(now),
		); err != nil {
			return err
		}
		return t.Audit(ctx, Line{
			At:     now,
			Actor:  "machine",
			What:   AuditPolicy,
			Policy: version,
			Detail: Detail{"sha256": digest},
		})
	})
	if err != nil {
		return 0, fmt.Errorf("note the policy: %w", err)
	}
	return version, nil
}
