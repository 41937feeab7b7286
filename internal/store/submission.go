package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"callscreen/analyzer"
)

// ReasonInDoubt is the reason of a segment whose upload has an unknown outcome and is not repeated.
const ReasonInDoubt = string(analyzer.KindInDoubt)

// Doubt is the treatment of a segment with an upload of unknown outcome, which may have been charged.
type Doubt int

const (
	NoDoubt  Doubt = iota
	Resend         // send it again, at most once; audited
	Hold           // already sent again, or resending is disabled: it waits for a person or the end of its time
	UnderWay       // another node may still be uploading it
)

const (
	// UploadTime is the time limit of one upload.
	UploadTime = 20 * time.Second
	// uploadEnds is the time after its start at which no upload is under way any more.
	uploadEnds = UploadTime + 5*time.Second
)

// Uploading returns for how long another node may still be uploading the segment. That node need not have its job: it may have been
// frozen, or taken for dead.
func (s SegmentRow) Uploading(node string, now time.Time) time.Duration {
	age := now.Sub(s.SubmitStarted)
	if s.SubmitStarted.IsZero() || s.Worker == node || age < 0 {
		return 0
	}
	return max(uploadEnds-age, 0)
}

// Doubt returns the treatment of the segment. resend permits the one repeat of an upload.
func (s SegmentRow) Doubt(resend bool) Doubt {
	switch {
	case s.SubmitStarted.IsZero():
		return NoDoubt
	case resend && s.Resent == 0 || s.Resent < 0:
		return Resend
	}
	return Hold
}

// Held reports whether the segment waits for a person, because the outcome of its uploads is unknown. It counts as a failed
// analysis meanwhile.
func (s SegmentRow) Held() bool { return s.State == SegmentRecorded && s.Reason == ReasonInDoubt }

// Busy reports whether the analysis of the segment goes on without a person.
func (s SegmentRow) Busy() bool { return !s.Settled() && !s.Held() }

// BeginSubmit records, before anything is sent, that a node starts to upload a segment. It returns the previous state
// of the segment and the treatment of an earlier upload. It does not change a segment that has a job or is settled.
func (s *Store) BeginSubmit(ctx context.Context, id, node string, now time.Time, resend bool) (g SegmentRow, d Doubt, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		if g, err = t.lockSegment(ctx, id); err != nil {
			return err
		}
		if g.Settled() || g.JobID != "" {
			return nil
		}
		if g.Uploading(node, now) > 0 {
			d = UnderWay
			return nil
		}
		resent := g.Resent
		switch d = g.Doubt(resend); d {
		case Hold:
			return nil
		case Resend:
			resent = max(resent, 0) + 1
		}
		if _, err := t.exec(
			ctx,
			"UPDATE segment SET submit_started_ms = $2, attempts = attempts + 1, worker = $3, resent = $4 WHERE id = $1",
			id,
			millis(now),
			node,
			resent,
		); err != nil {
			return fmt.Errorf("save attempt of segment %s: %w", id, err)
		}
		if d != Resend {
			return nil
		}
		return t.Audit(ctx, Line{
			At:      now,
			Actor:   "machine",
			What:    AuditResent,
			Call:    g.Call,
			Segment: id,
			Detail:  Detail{"worker": node, "began": g.SubmitStarted, "began_by": g.Worker},
		})
	})
	return g, d, err
}

// NotSubmitted records that an upload certainly failed, and the time of the next attempt.
func (s *Store) NotSubmitted(ctx context.Context, id string, next time.Time) error {
	return s.InTx(ctx, func(t *Tx) error {
		_, err := t.exec(
			ctx,
			"UPDATE segment SET submit_started_ms = 0, next_ms = $2 WHERE id = $1 AND job_id = '' AND state = 'recorded'",
			id,
			millis(next),
		)
		return err
	})
}

// Saved is the outcome of SaveJob.
type Saved int

const (
	JobSaved   Saved = iota
	JobSurplus       // another upload of the segment already became a job; that job stands
	JobShared        // the API gave the job to another recording too: its result may be that of either
)

// SaveJob saves the job of a segment. If another upload already became a job, that job is kept and the surplus job is audited. If
// another segment with other audio has the job, the uploads of both are of unknown outcome from then on, unless the other one is
// settled: its result is older than this upload.
func (s *Store) SaveJob(ctx context.Context, id, job, node string, now time.Time) (outcome Saved, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		shared, err := t.shared(ctx, id, job, node, now)
		if err != nil {
			return err
		}
		if shared {
			outcome = JobShared
			return nil
		}
		n, err := t.exec(
			ctx,
			"UPDATE segment SET job_id = $2, state = 'submitted', submitted_ms = $3, submit_started_ms = 0, reason = '', detail = '', "+
				"answered_ms = 0, odd_ms = 0 WHERE id = $1 AND job_id = '' AND state = 'recorded'",
			id,
			job,
			millis(now),
		)
		if err != nil {
			return fmt.Errorf("save job of segment %s: %w", id, err)
		}
		if n == 1 {
			outcome = JobSaved
			return t.pollFirst(ctx, id)
		}
		g, err := scanSegment(t.tx.QueryRowContext(ctx, "SELECT "+segmentColumns+" FROM segment WHERE id = $1", id))
		if err != nil || g.JobID == job {
			outcome = JobSaved
			return err
		}
		outcome = JobSurplus
		return t.Audit(ctx, Line{
			At:      now,
			Actor:   "machine",
			What:    AuditSurplus,
			Call:    g.Call,
			Segment: id,
			Detail:  Detail{"worker": node, "job": job, "stands": g.JobID},
		})
	})
	return outcome, err
}

// shared reports whether the API gave a job to two recordings, and leaves the uploads of both in doubt. An API may give one job to equal
// recordings.
func (t *Tx) shared(ctx context.Context, id, job, node string, now time.Time) (bool, error) {
	if t.s.postgres {
		// Two nodes that save the job at once would not see each other.
		if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", job); err != nil {
			return false, fmt.Errorf("lock job of segment %s: %w", id, err)
		}
	}
	rows, err := t.tx.QueryContext(
		ctx,
		"SELECT "+segmentColumns+` FROM segment WHERE (job_id = $2 AND job_id <> '' OR shared_job = $2 AND shared_job <> '')
			AND id <> $1 AND NOT EXISTS (SELECT 1 FROM segment AS own
			WHERE own.id = $1 AND own.audio_sha256 = segment.audio_sha256 AND own.cleaned = segment.cleaned)`,
		id,
		job,
	)
	var others []SegmentRow
	err = each(rows, err, func(r *sql.Rows) error {
		g, err := scanSegment(r)
		others = append(others, g)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("look for other segments with the job of segment %s: %w", id, err)
	}
	if len(others) == 0 {
		return false, nil
	}
	own, err := t.lockSegment(ctx, id)
	if err != nil {
		return false, err
	}
	if _, err := t.exec(ctx, "UPDATE segment SET shared_job = $2 WHERE id = $1", id, job); err != nil {
		return false, fmt.Errorf("doubt job of segment %s: %w", id, err)
	}
	for _, other := range others {
		if _, err := t.exec(
			ctx,
			"UPDATE segment SET state = 'recorded', job_id = '', submit_started_ms = $3, answered_ms = 0, odd_ms = 0, shared_job = $2 "+
				"WHERE id = $1 AND job_id = $2 AND state = 'submitted'",
			other.ID,
			job,
			millis(now),
		); err != nil {
			return false, fmt.Errorf("doubt job of segment %s: %w", other.ID, err)
		}
		for _, g := range []SegmentRow{own, other} {
			if err := t.Audit(ctx, Line{
				At:      now,
				Actor:   "machine",
				What:    AuditShared,
				Call:    g.Call,
				Segment: g.ID,
				Detail:  Detail{"worker": node, "job": job, "settled": g.Settled()},
			}); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// Polled saves for how long the API has answered about the job of a segment.
func (s *Store) Polled(ctx context.Context, g SegmentRow) error {
	return s.InTx(ctx, func(t *Tx) error {
		_, err := t.exec(
			ctx,
			"UPDATE segment SET answered_ms = $3, odd_ms = $4 WHERE id = $1 AND job_id = $2 AND state = 'submitted'",
			g.ID,
			g.JobID,
			g.Answered.Milliseconds(),
			g.Odd.Milliseconds(),
		)
		return err
	})
}

// Hold makes a segment wait for a person. It reports whether the segment did not wait yet. The call must be locked.
func (t *Tx) Hold(ctx context.Context, g SegmentRow, detail string, now time.Time) (bool, error) {
	n, err := t.exec(
		ctx,
		"UPDATE segment SET reason = $2, detail = $3 WHERE id = $1 AND job_id = '' AND state = 'recorded' AND reason = ''",
		g.ID,
		ReasonInDoubt,
		detail,
	)
	if err != nil || n == 0 {
		return false, err
	}
	return true, t.Audit(ctx, Line{
		At:      now,
		Actor:   "machine",
		What:    AuditHeld,
		Call:    g.Call,
		Segment: g.ID,
		Detail:  Detail{"began": g.SubmitStarted, "began_by": g.Worker, "resent": g.Resent},
	})
}

// OrderResend ends the waiting of a held segment: its upload is repeated once more. The error is ErrNotFound unless the segment is
// held. Its call must be locked.
func (t *Tx) OrderResend(ctx context.Context, id, who string, now time.Time) error {
	g, err := t.lockSegment(ctx, id)
	if err != nil {
		return err
	}
	if !g.Held() {
		return ErrNotFound
	}
	if _, err := t.exec(ctx, "UPDATE segment SET reason = '', detail = '', resent = -1 WHERE id = $1", id); err != nil {
		return fmt.Errorf("order another upload of segment %s: %w", id, err)
	}
	// The job of the queue sleeps until the end of the waiting.
	if _, err := t.exec(
		ctx,
		`DELETE FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'scheduled')
			AND id = (SELECT alarm FROM segment WHERE id = $1)`,
		id,
	); err != nil {
		return fmt.Errorf("order another upload of segment %s: %w", id, err)
	}
	if err := t.Wake(ctx, id, g.AudioNode); err != nil {
		return err
	}
	return t.Audit(ctx, Line{
		At:      now,
		Actor:   who,
		What:    AuditResendOrdered,
		Call:    g.Call,
		Segment: id,
	})
}

// Fresh reports whether a node can submit a segment that has no upload of unknown outcome.
func (s *Store) Fresh(ctx context.Context, node string, now time.Time) (fresh bool, err error) {
	err = s.reader.QueryRowContext(
		ctx,
		`SELECT EXISTS (SELECT 1 FROM segment WHERE state IN ('recorded', 'submitted') AND state = 'recorded' AND submit_started_ms = 0
			AND next_ms <= $1 AND audio_node IN ('', $2))`,
		millis(now),
		node,
	).
		Scan(&fresh)
	return fresh, err
}

// AgainCleaned resets a segment whose job failed, so that a cleaned copy is submitted. It reports whether this call did
// so.
func (s *Store) AgainCleaned(ctx context.Context, id, job string, now time.Time) (done bool, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		g, err := t.lockSegment(ctx, id)
		if err != nil || g.Settled() || g.Cleaned || g.JobID != job {
			return err
		}
		if _, err := t.exec(
			ctx,
			"UPDATE segment SET state = 'recorded', job_id = '', cleaned = 1, submit_started_ms = 0, answered_ms = 0, odd_ms = 0 WHERE id = $1",
			id,
		); err != nil {
			return err
		}
		done = true
		return t.Audit(ctx, Line{
			At:      now,
			Actor:   "machine",
			What:    AuditCleaned,
			Call:    g.Call,
			Segment: id,
			Detail:  Detail{"job": job},
		})
	})
	return done, err
}
