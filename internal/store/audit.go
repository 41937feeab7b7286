package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Kinds of audit lines.
const (
	AuditScored  = "segment.scored"
	AuditFailed  = "segment.failed"
	AuditSkipped = "segment.skipped" // left out by the sampling plan (analysis.enough_speech)
	AuditResent  = "segment.resent"  // an upload of unknown outcome was repeated: may be charged twice
	AuditHeld    = "segment.held"    // an upload of unknown outcome is not repeated: it waits for a person
	// AuditResendOrdered: a person ordered that a held segment is sent once more.
	AuditResendOrdered = "segment.resend_ordered"
	AuditSurplus       = "segment.surplus_job" // a second job exists for a segment: charged twice
	AuditShared        = "segment.shared_job"  // the API gave one job to two recordings: whose result it has is unknown
	AuditCleaned       = "segment.sent_cleaned"
	AuditRecovered     = "segment.recovered" // stored again after the database had lost it: may be charged twice
	AuditDecided       = "call.decided"
	AuditResumed       = "call.resumed" // more was recorded after the decision
	AuditLegPaused     = "leg.paused"
	AuditLegResumed    = "leg.resumed"
	AuditLegStopped    = "leg.stopped"
	AuditErased        = "call.erased"
	AuditExpired       = "call.audio_deleted"
	AuditPolicy        = "policy.changed"
	AuditReview        = "review.changed"
	AuditReplayed      = "webhook.replayed"
	AuditEndpoint      = "webhook.endpoint"
	AuditListened      = "audio.listened" // a person fetched the audio of a segment
)

// Detail holds further fields of an audit line. It must not contain personal data, because erasing a call keeps its
// audit lines.
type Detail map[string]any

// Line is one line of the audit log.
type Line struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"` // "machine", or the name of a user or token
	What    string    `json:"what"`
	Call    string    `json:"call"`
	Segment string    `json:"segment"`
	Policy  int64     `json:"policy_version"`
	Detail  Detail    `json:"detail"`
	// Previous and Hash chain a line to the line before it.
	Previous string `json:"previous"`
	Hash     string `json:"hash"`

	text string
}

// digest returns the hash that chains a line to the line before it.
func (l *Line) digest() (string, error) {
	data, err := json.Marshal([]any{l.Seq, millis(l.At), l.Actor, l.What, l.Call, l.Segment, l.Policy, l.text, l.Previous})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Audit appends a line. It locks the end of the chain until the transaction ends. To keep the lock short and avoid
// deadlocks, call it late in a transaction, after locking calls.
func (t *Tx) Audit(ctx context.Context, l Line) error {
	if err := t.tx.QueryRowContext(ctx, "SELECT seq, hash FROM audit_head WHERE id = 1"+t.s.forUpdate()).Scan(
		&l.Seq,
		&l.Previous,
	); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.Seq++
	if l.Detail == nil {
		l.Detail = Detail{}
	}
	text, err := json.Marshal(l.Detail)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	l.text = string(text)
	if l.Hash, err = l.digest(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if _, err := t.exec(
		ctx,
		"INSERT INTO audit (seq, at_ms, actor, what, call_id, segment_id, policy_version, detail, previous, hash) "+
			"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		l.Seq,
		millis(l.At),
		l.Actor,
		l.What,
		l.Call,
		l.Segment,
		l.Policy,
		l.text,
		l.Previous,
		l.Hash,
	); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if _, err := t.exec(ctx, "UPDATE audit_head SET seq = $1, hash = $2 WHERE id = 1", l.Seq, l.Hash); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

const auditColumns = "seq, at_ms, actor, what, call_id, segment_id, policy_version, detail, previous, hash"

func scanLine(r *sql.Rows) (l Line, err error) {
	var at int64
	if err := r.Scan(&l.Seq, &at, &l.Actor, &l.What, &l.Call, &l.Segment, &l.Policy, &l.text, &l.Previous, &l.Hash); err != nil {
		return l, err
	}
	l.At = fromMillis(at)
	_ = json.Unmarshal([]byte(l.text), &l.Detail) // the hash detects a manipulated text
	return l, nil
}

// auditPage is the number of lines that are read at a time.
const auditPage = 500

// Audit visits the lines of a call, or all lines if call is "", oldest first. It reads them page by page, so that a slow
// visitor holds no snapshot of the database. Lines that are appended meanwhile are visited too.
func (s *Store) Audit(ctx context.Context, call string, visit func(Line) error) error {
	where := ""
	if call != "" {
		where = "call_id = $3 AND "
	}
	query := "SELECT " + auditColumns + " FROM audit WHERE " + where + "seq > $1 ORDER BY seq LIMIT $2"
	for last := int64(0); ; {
		args := []any{last, auditPage}
		if call != "" {
			args = append(args, call)
		}
		var page []Line
		rows, err := s.reader.QueryContext(ctx, query, args...)
		err = each(rows, err, func(r *sql.Rows) error {
			l, err := scanLine(r)
			page = append(page, l)
			return err
		})
		if err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
		for _, l := range page {
			if err := visit(l); err != nil {
				return fmt.Errorf("read audit log: %w", err)
			}
			last = l.Seq
		}
		if len(page) < auditPage {
			return nil
		}
	}
}

// AuditOf returns the audit lines of a call, oldest first.
func (s *Store) AuditOf(ctx context.Context, call string) (list []Line, err error) {
	err = s.Audit(ctx, call, func(l Line) error { list = append(list, l); return nil })
	return list, err
}

// BrokenError is a broken line of the audit chain.
type BrokenError struct {
	Seq int64
	Why string
}

func (e *BrokenError) Error() string { return fmt.Sprintf("audit line %d: %s", e.Seq, e.Why) }

// Head is the last line of the audit at some time. A copy that is kept elsewhere shows whether the lines before it were
// changed or cut off.
type Head struct {
	Seq  int64
	Hash string
}

// Head returns the number and the hash of the last audit line, zero if there is none.
func (s *Store) Head(ctx context.Context) (h Head, err error) {
	if err := s.reader.QueryRowContext(ctx, "SELECT seq, hash FROM audit_head WHERE id = 1").Scan(&h.Seq, &h.Hash); err != nil {
		return h, fmt.Errorf("read audit log: %w", err)
	}
	return h, nil
}

// VerifyAudit checks the chain from its start, and that it contains the kept heads. It returns the number of lines and the
// last hash. The error is a *BrokenError for the first broken line. Without a kept head, a chain that was rewritten or cut
// off together with its stored head is consistent.
func (s *Store) VerifyAudit(ctx context.Context, kept ...Head) (lines int64, last string, err error) {
	// Read the head first: lines that are appended meanwhile then only extend the chain.
	head, err := s.Head(ctx)
	if err != nil {
		return 0, "", err
	}
	rows, err := s.reader.QueryContext(ctx, "SELECT "+auditColumns+" FROM audit WHERE seq <= $1 ORDER BY seq", head.Seq)
	err = each(rows, err, func(r *sql.Rows) error {
		l, err := scanLine(r)
		if err != nil {
			return err
		}
		lines++
		digest, err := l.digest()
		switch {
		case err != nil:
			return err
		case l.Seq != lines:
			return &BrokenError{lines, "is missing"}
		case l.Previous != last:
			return &BrokenError{l.Seq, "does not follow the line before it"}
		case digest != l.Hash:
			return &BrokenError{l.Seq, "was changed"}
		}
		for _, k := range kept {
			if k.Seq == l.Seq && k.Hash != l.Hash {
				return &BrokenError{l.Seq, "is another than the kept head has: the chain was rewritten"}
			}
		}
		last = l.Hash
		return nil
	})
	if err != nil {
		return lines, last, err
	}
	if lines != head.Seq || last != head.Hash {
		return lines, last, &BrokenError{lines + 1, fmt.Sprintf("the end of the chain is missing, it should have %d lines", head.Seq)}
	}
	for _, k := range kept {
		if k.Seq > lines {
			return lines, last, &BrokenError{lines + 1, fmt.Sprintf("the end of the chain is missing, the kept head is line %d", k.Seq)}
		}
	}
	return lines, last, nil
}

// AddAudit appends a line in a transaction of its own.
func (s *Store) AddAudit(ctx context.Context, l Line) error {
	return s.InTx(ctx, func(t *Tx) error { return t.Audit(ctx, l) })
}
