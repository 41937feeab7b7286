package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Decision is an announced outcome.
type Decision struct {
	Call          string
	Seq           int // from 1, per call
	At            time.Time
	Outcome       string
	Score         *float64
	Threshold     float64
	Reasons       []string
	PolicyVersion int64
	Previous      string // outcome that was announced before, "" for the first
}

// AddDecision inserts a decision. A duplicate number is an error.
func (t *Tx) AddDecision(ctx context.Context, d Decision) error {
	reasons, err := json.Marshal(d.Reasons)
	if err != nil {
		return err
	}
	if _, err := t.exec(
		ctx,
		"INSERT INTO decision (call_id, seq, at_ms, outcome, score, threshold, reasons, policy_version, previous) "+
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		d.Call,
		d.Seq,
		millis(d.At),
		d.Outcome,
		d.Score,
		d.Threshold,
		string(reasons),
		d.PolicyVersion,
		d.Previous,
	); err != nil {
		return fmt.Errorf("insert decision %d of call %s: %w", d.Seq, d.Call, err)
	}
	return nil
}

// LastOutcome returns the outcome that was announced last, "" if none was.
func (t *Tx) LastOutcome(ctx context.Context, call string) (outcome string, err error) {
	err = t.tx.QueryRowContext(ctx, "SELECT outcome FROM decision WHERE call_id = $1 ORDER BY seq DESC LIMIT 1", call).Scan(&outcome)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read decisions of call %s: %w", call, err)
	}
	return outcome, nil
}

// Outcomes returns the outcomes that a call was announced with, also those of earlier calls with its id.
func (t *Tx) Outcomes(ctx context.Context, call string) (outcomes []string, err error) {
	rows, err := t.tx.QueryContext(ctx, "SELECT DISTINCT outcome FROM decision WHERE call_id = $1", call)
	if err != nil {
		return nil, fmt.Errorf("read outcomes of call %s: %w", call, err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var outcome string
		if err := rows.Scan(&outcome); err != nil {
			return nil, fmt.Errorf("read outcomes of call %s: %w", call, err)
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, rows.Err()
}

// States of a review.
const (
	ReviewWaiting = "waiting"
	ReviewClosed  = "closed"
)

// OpenReview queues a call for review, unless it is queued already. A closed review is opened again, because the
// decision has changed since.
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

// UsePolicy records the policy in use and returns its version. A policy that was used before keeps its version.
func (s *Store) UsePolicy(ctx context.Context, body []byte, now time.Time) (version int64, err error) {
	sum := sha256.Sum256(body)
	digest := hex.EncodeToString(sum[:])
	err = s.InTx(ctx, func(t *Tx) error {
		// The lock on the end of the audit also keeps two nodes from creating the same version.
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
		return 0, fmt.Errorf("save policy: %w", err)
	}
	return version, nil
}
