package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

// SegmentJob is the queue job that wakes up a segment.
type SegmentJob struct {
	Segment string `json:"segment"`
}

// Kind implements river.JobArgs.
func (SegmentJob) Kind() string { return "segment" }

// Queue returns the queue for segments whose audio only one node has, or, for "", all nodes have.
func Queue(audioNode string) string {
	if audioNode == "" {
		return river.QueueDefault
	}
	return audioNode
}

// Priorities of the queue. A job that was paid for comes before new submissions, and live calls come before earlier ones.
const (
	paidFor    = 1 // the segment has a job at the API
	firstOfLeg = 2 // no other segment of the leg
	further    = 3
	last       = 4 // can only confirm a flag, or belongs to a call that ended some time ago
)

// Urgent reports whether a job of this priority goes before the others at the rate limit too.
func Urgent(priority int) bool { return priority <= firstOfLeg }

// Wake creates the job of a segment in this transaction. Only nodes that have its audio process it.
func (t *Tx) Wake(ctx context.Context, segment, audioNode string) error {
	priority, err := t.priority(ctx, segment)
	if err != nil {
		return err
	}
	job, err := t.s.jobs.InsertTx(
		ctx,
		t.tx,
		SegmentJob{Segment: segment},
		&river.InsertOpts{MaxAttempts: 1000, Queue: Queue(audioNode), Priority: priority},
	)
	if err != nil {
		return fmt.Errorf("insert the job of segment %s: %w", segment, err)
	}
	if _, err := t.exec(ctx, "UPDATE segment SET alarm = $2 WHERE id = $1", segment, job.Job.ID); err != nil {
		return fmt.Errorf("insert the job of segment %s: %w", segment, err)
	}
	return nil
}

func (t *Tx) priority(ctx context.Context, segment string) (n int, err error) {
	var others, flagged, submitted bool
	err = t.tx.QueryRowContext(
		ctx,
		`SELECT EXISTS (SELECT 1 FROM segment o WHERE o.call_id = s.call_id AND o.leg = s.leg AND o.state <> 'skipped'
			AND o.id <> s.id), c.decision = 'flagged', s.job_id <> ''
		FROM segment s JOIN call c ON c.id = s.call_id WHERE s.id = $1`,
		segment,
	).
		Scan(&others, &flagged, &submitted)
	switch {
	case err != nil:
		return 0, fmt.Errorf("read priority of segment %s: %w", segment, err)
	case submitted:
		return paidFor, nil
	case flagged:
		return last, nil
	case others:
		return further, nil
	}
	return firstOfLeg, nil
}

// pollFirst puts the job of a submitted segment before all submissions. A job that sleeps, because the outcome of the upload was
// unknown to another node, is due at once.
func (t *Tx) pollFirst(ctx context.Context, segment string) error {
	n, err := t.exec(
		ctx,
		`DELETE FROM river_job WHERE state IN ('available', 'pending', 'retryable', 'scheduled')
			AND id = (SELECT alarm FROM segment WHERE id = $1)`,
		segment,
	)
	if err != nil {
		return fmt.Errorf("order the job of segment %s: %w", segment, err)
	}
	if n > 0 {
		var audioNode string
		if err := t.tx.QueryRowContext(ctx, "SELECT audio_node FROM segment WHERE id = $1", segment).Scan(&audioNode); err != nil {
			return fmt.Errorf("order the job of segment %s: %w", segment, err)
		}
		return t.Wake(ctx, segment, audioNode)
	}
	if _, err := t.exec(
		ctx,
		"UPDATE river_job SET priority = $2 WHERE id = (SELECT alarm FROM segment WHERE id = $1)",
		segment,
		paidFor,
	); err != nil {
		return fmt.Errorf("order the job of segment %s: %w", segment, err)
	}
	return nil
}

// LiveFirst puts the submissions of calls that ended before a time behind all others, and keeps the order among them: the first
// of each leg, further ones, and those that can only confirm a flag. The queue has no priority left for that, but it orders the
// jobs of a priority by the time at which they are due. It returns their number.
func (s *Store) LiveFirst(ctx context.Context, before time.Time) (n int64, err error) {
	earlier := func(by string) string {
		if s.postgres {
			return "scheduled_at - interval '" + by + "'"
		}
		return "strftime('%Y-%m-%d %H:%M:%f', scheduled_at, '-" + by + "')"
	}
	err = s.InTx(ctx, func(t *Tx) error {
		n, err = t.exec(
			ctx,
			`UPDATE river_job SET priority = $2, scheduled_at = CASE WHEN state <> 'available' THEN scheduled_at
				WHEN priority <= $3 THEN `+earlier("20 years")+` ELSE `+earlier("10 years")+` END
			WHERE priority < $2 AND state IN ('available', 'pending', 'retryable', 'scheduled') AND id IN
				(SELECT s.alarm FROM segment s JOIN call c ON c.id = s.call_id
					WHERE s.state IN ('recorded', 'submitted') AND s.state = 'recorded' AND c.ended_ms > 0 AND c.ended_ms < $1)`,
			millis(before),
			last,
			firstOfLeg,
		)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("order the submissions: %w", err)
	}
	return n, nil
}

// Complete finishes a job of the queue in this transaction.
func (t *Tx) Complete(ctx context.Context, job *river.Job[SegmentJob]) (err error) {
	if t.s.postgres {
		_, err = river.JobCompleteTx[*riverdatabasesql.Driver](ctx, t.tx, job)
	} else {
		_, err = river.JobCompleteTx[*riversqlite.Driver](ctx, t.tx, job)
	}
	if err != nil {
		return fmt.Errorf("complete the job of segment %s: %w", job.Args.Segment, err)
	}
	return nil
}

// Release returns the running jobs of a node to the queue, so that they start again at once. SQLite has a single node: all
// jobs are returned.
func (s *Store) Release(ctx context.Context, node string) (n int64, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		n, err = t.release(ctx, node)
		return err
	})
	return n, err
}

func (t *Tx) release(ctx context.Context, node string) (int64, error) {
	query, args := "UPDATE river_job SET state = 'available' WHERE state = 'running'", []any(nil)
	switch {
	case t.s.postgres:
		query, args = query+" AND attempted_by[array_upper(attempted_by, 1)] = $1", []any{node}
	case t.s.several:
		query, args = query+" AND json_extract(attempted_by, '$[#-1]') = $1", []any{node}
	}
	n, err := t.exec(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("release the jobs of node %s: %w", node, err)
	}
	return n, nil
}

// Rewake creates jobs for unsettled segments that lost theirs, and returns the number of jobs.
func (s *Store) Rewake(ctx context.Context) (n int, err error) {
	type lost struct {
		id, audioNode string
		alarm         int64
	}
	var list []lost
	rows, err := s.db.QueryContext(
		ctx,
		`SELECT s.id, s.audio_node, s.alarm FROM segment s WHERE s.state IN ('recorded', 'submitted') AND NOT EXISTS
		(SELECT 1 FROM river_job j WHERE j.id = s.alarm AND j.state IN ('available', 'pending', 'retryable', 'running', 'scheduled')) LIMIT 500`,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var l lost
		defer func() { list = append(list, l) }()
		return r.Scan(&l.id, &l.audioNode, &l.alarm)
	})
	if err != nil {
		return 0, fmt.Errorf("list segments without a job: %w", err)
	}
	for _, l := range list {
		err := s.InTx(ctx, func(t *Tx) error {
			// Another node may do the same concurrently.
			taken, err := t.exec(
				ctx,
				"UPDATE segment SET alarm = 0 WHERE id = $1 AND alarm = $2 AND state IN ('recorded', 'submitted')",
				l.id,
				l.alarm,
			)
			if err != nil || taken == 0 {
				return err
			}
			n++
			return t.Wake(ctx, l.id, l.audioNode)
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
