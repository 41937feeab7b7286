package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"callscreen/internal/report"
)

// States of a segment. The last three are final.
const (
	SegmentRecorded  = report.StateRecorded
	SegmentSubmitted = report.StateSubmitted
	SegmentScored    = report.StateScored
	SegmentFailed    = report.StateFailed
	SegmentSkipped   = report.StateSkipped
)

// SegmentRow is one segment of a leg, with its audio and its analysis.
type SegmentRow struct {
	ID         string `json:"id"`
	PartKey    `json:"part_key"`
	Leg        string         `json:"leg"`
	Seq        int            `json:"seq"`
	Offset     time.Duration  `json:"offset"` // from the start of the part
	Duration   time.Duration  `json:"duration"`
	Speech     time.Duration  `json:"speech"`
	Lost       time.Duration  `json:"lost,omitempty"`
	RecordedAt time.Time      `json:"recorded_at"`
	Rate       int            `json:"rate"`             // sample rate of the WAV file in Hz
	Voiced     [][2]int64     `json:"voiced,omitempty"` // ranges of speech, in samples from the start of the segment
	Pieces     []report.Piece `json:"pieces,omitempty"` // of a packed segment; offsets from the start of the part
	State      string         `json:"state"`
	Reason     string         `json:"reason,omitempty"`
	Detail     string         `json:"detail,omitempty"`

	AudioKey       string    `json:"audio_key,omitempty"`  // in the audio store; "" without audio
	AudioNode      string    `json:"audio_node,omitempty"` // only node with the audio; "" if all nodes can read it
	AudioSHA256    string    `json:"audio_sha256,omitempty"`
	AudioBytes     int64     `json:"audio_bytes,omitempty"`
	AudioDeletedAt time.Time `json:"-"`

	Score         *float64  `json:"-"`
	Verdict       string    `json:"-"`
	JobID         string    `json:"-"`
	Simulated     bool      `json:"-"`
	Cleaned       bool      `json:"-"`
	Attempts      int       `json:"-"`
	NextAt        time.Time `json:"-"`
	SubmitStarted time.Time `json:"-"` // start of an upload of unknown outcome
	SubmittedAt   time.Time `json:"-"`
	// Answered is the time during which the API answered about the job. Odd is the last part of it, with answers that contradict
	// the course of a job.
	Answered, Odd time.Duration `json:"-"`
	Resent        int           `json:"-"`
	Worker        string        `json:"-"` // node of the last attempt
	SettledAt     time.Time     `json:"-"`
}

// Settled reports whether the state is final.
func (s SegmentRow) Settled() bool { return s.State != SegmentRecorded && s.State != SegmentSubmitted }

// AddSegment inserts a recorded segment and removes its placeholder if it was missing. It reports whether the segment
// is new.
func (t *Tx) AddSegment(ctx context.Context, g SegmentRow) (bool, error) {
	voiced, err := json.Marshal(g.Voiced)
	if err != nil {
		return false, err
	}
	pieces := ""
	if len(g.Pieces) > 0 {
		text, err := json.Marshal(g.Pieces)
		if err != nil {
			return false, err
		}
		pieces = string(text)
	}
	settled := int64(0)
	if g.Settled() {
		settled = millis(g.RecordedAt)
	}
	if stand := missingID(g.PartKey, g.Leg, g.Seq); g.ID != stand {
		if _, err := t.exec(ctx, "DELETE FROM segment WHERE id = $1", stand); err != nil {
			return false, fmt.Errorf("insert segment %s of call %s: %w", g.ID, g.Call, err)
		}
	}
	n, err := t.exec(
		ctx,
		`INSERT INTO segment (id, call_id, part, node, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, recorded_ms, state, reason, detail,
		audio_key, audio_node, audio_sha256, audio_bytes, rate, voiced, settled_ms, pieces)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
			ON CONFLICT DO NOTHING`,
		g.ID,
		g.Call,
		g.Part,
		g.Node,
		g.Leg,
		g.Seq,
		g.Offset.Milliseconds(),
		g.Duration.Milliseconds(),
		g.Speech.Milliseconds(),
		g.Lost.Milliseconds(),
		millis(g.RecordedAt),
		g.State,
		g.Reason,
		g.Detail,
		g.AudioKey,
		g.AudioNode,
		g.AudioSHA256,
		g.AudioBytes,
		g.Rate,
		string(voiced),
		settled,
		pieces,
	)
	if err != nil {
		return false, fmt.Errorf("insert segment %s of call %s: %w", g.ID, g.Call, err)
	}
	return n == 1, nil
}

const segmentColumns = `id, call_id, part, node, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, recorded_ms, state,
	reason, detail, score, verdict, job_id, simulated, cleaned,
	audio_key, audio_node, audio_sha256, audio_bytes, audio_deleted_ms, rate, voiced, attempts, next_ms, submit_started_ms,
		submitted_ms, resent, worker, settled_ms, pieces, answered_ms, odd_ms`

func scanSegment(row interface{ Scan(...any) error }) (g SegmentRow, err error) {
	var offset, took, speech, lost, recorded, deleted, next, started, submitted, settled, answered, odd int64
	var voiced, pieces string
	err = row.Scan(
		&g.ID,
		&g.Call,
		&g.Part,
		&g.Node,
		&g.Leg,
		&g.Seq,
		&offset,
		&took,
		&speech,
		&lost,
		&recorded,
		&g.State,
		&g.Reason,
		&g.Detail,
		&g.Score,
		&g.Verdict,
		&g.JobID,
		&g.Simulated,
		&g.Cleaned,
		&g.AudioKey,
		&g.AudioNode,
		&g.AudioSHA256,
		&g.AudioBytes,
		&deleted,
		&g.Rate,
		&voiced,
		&g.Attempts,
		&next,
		&started,
		&submitted,
		&g.Resent,
		&g.Worker,
		&settled,
		&pieces,
		&answered,
		&odd,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return g, ErrNotFound
	}
	if err != nil {
		return g, fmt.Errorf("read a segment: %w", err)
	}
	g.Offset, g.Duration, g.Speech, g.Lost = duration(offset), duration(took), duration(speech), duration(lost)
	g.RecordedAt, g.AudioDeletedAt, g.NextAt = fromMillis(recorded), fromMillis(deleted), fromMillis(next)
	g.Answered, g.Odd = duration(answered), duration(odd)
	g.SubmitStarted, g.SubmittedAt, g.SettledAt = fromMillis(started), fromMillis(submitted), fromMillis(settled)
	if err := g.setPieces(pieces); err != nil {
		return g, err
	}
	return g, json.Unmarshal([]byte(voiced), &g.Voiced)
}

// Segment reads a segment. It returns ErrNotFound if there is none.
func (s *Store) Segment(ctx context.Context, id string) (SegmentRow, error) {
	return scanSegment(s.reader.QueryRowContext(ctx, "SELECT "+segmentColumns+" FROM segment WHERE id = $1", id))
}

// Segments returns the segments of a call in order.
func (t *Tx) Segments(ctx context.Context, call string) ([]SegmentRow, error) {
	return segments(ctx, t.tx, call)
}

// Segments returns the segments of calls, by call and in order.
func (s *Store) Segments(ctx context.Context, calls ...string) ([]SegmentRow, error) {
	return segments(ctx, s.reader, calls...)
}

func segments(ctx context.Context, q querier, calls ...string) (list []SegmentRow, err error) {
	if len(calls) == 0 {
		return nil, nil
	}
	marks, args := marks(calls)
	rows, err := q.QueryContext(
		ctx,
		"SELECT "+segmentColumns+" FROM segment WHERE call_id IN ("+marks+") ORDER BY call_id, part + offset_ms, leg, seq, part, node",
		args...)
	err = each(rows, err, func(r *sql.Rows) error {
		g, err := scanSegment(r)
		list = append(list, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	return list, nil
}

// shownColumns are the columns of a segment that a report shows.
const shownColumns = `id, call_id, part, leg, seq, offset_ms, duration_ms, speech_ms, lost_ms, state, reason, detail, score, verdict,
	job_id, cleaned, audio_key, audio_sha256, resent, pieces`

// Shown returns the segments of calls, by call and in no order, with no more than a report shows. Lists read thousands of rows.
func (s *Store) Shown(ctx context.Context, calls ...string) (map[string][]SegmentRow, error) {
	of := make(map[string][]SegmentRow, len(calls))
	if len(calls) == 0 {
		return of, nil
	}
	marks, args := marks(calls)
	rows, err := s.reader.QueryContext(ctx, "SELECT "+shownColumns+" FROM segment WHERE call_id IN ("+marks+")", args...)
	err = each(rows, err, func(r *sql.Rows) error {
		var g SegmentRow
		var offset, took, speech, lost int64
		var pieces string
		if err := r.Scan(&g.ID, &g.Call, &g.Part, &g.Leg, &g.Seq, &offset, &took, &speech, &lost, &g.State, &g.Reason, &g.Detail, &g.Score,
			&g.Verdict, &g.JobID, &g.Cleaned, &g.AudioKey, &g.AudioSHA256, &g.Resent, &pieces); err != nil {
			return err
		}
		g.Offset, g.Duration, g.Speech, g.Lost = duration(offset), duration(took), duration(speech), duration(lost)
		if err := g.setPieces(pieces); err != nil {
			return err
		}
		of[g.Call] = append(of[g.Call], g)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list segments to show: %w", err)
	}
	return of, nil
}

// setPieces sets the pieces as they are stored: "" for none.
func (s *SegmentRow) setPieces(text string) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), &s.Pieces); err != nil {
		return fmt.Errorf("pieces of segment %s: %w", s.ID, err)
	}
	return nil
}

// Overdue returns segments that were recorded before a time and have no job at the API.
func (s *Store) Overdue(ctx context.Context, before time.Time, limit int) (list []SegmentRow, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT "+segmentColumns+" FROM segment WHERE state = 'recorded' AND recorded_ms < $1 ORDER BY recorded_ms LIMIT $2",
		millis(before),
		limit,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		g, err := scanSegment(r)
		list = append(list, g)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list overdue segments: %w", err)
	}
	return list, nil
}

// lockSegment reads a segment and locks it until the transaction ends.
func (t *Tx) lockSegment(ctx context.Context, id string) (SegmentRow, error) {
	return scanSegment(t.tx.QueryRowContext(ctx, "SELECT "+segmentColumns+" FROM segment WHERE id = $1"+t.s.forUpdate(), id))
}

// Settlement is the result of a segment.
type Settlement struct {
	State     string // SegmentScored, SegmentFailed or SegmentSkipped
	Reason    string
	Detail    string
	Score     *float64
	Verdict   string
	Simulated bool
	Job       string // whose result it is, "" if it is that of none
	At        time.Time
}

// Settle sets the final state of a segment. It returns ErrSettled if the segment has one, and ErrOtherJob if the result is that of a
// job that the segment has no longer. The call must be locked.
func (t *Tx) Settle(ctx context.Context, id string, r Settlement) error {
	n, err := t.exec(
		ctx,
		`UPDATE segment SET state = $2, reason = $3, detail = $4, score = $5, verdict = $6, simulated = $7, settled_ms = $8, submit_started_ms = 0
		WHERE id = $1 AND state IN ('recorded', 'submitted') AND $9 IN ('', job_id)`,
		id,
		r.State,
		r.Reason,
		r.Detail,
		r.Score,
		r.Verdict,
		flag(r.Simulated),
		millis(r.At),
		r.Job,
	)
	if err != nil {
		return fmt.Errorf("settle segment %s: %w", id, err)
	}
	if n == 1 {
		return nil
	}
	if g, err := t.lockSegment(ctx, id); err == nil && !g.Settled() {
		return ErrOtherJob
	}
	return ErrSettled
}

// Backlog counts the segments that wait for analysis.
type Backlog struct {
	Recorded, Submitted int
	Held                int       // wait for a person, and are in no other count
	Oldest              time.Time // recording time of the oldest; zero if there is none
}

// Backlog returns the current backlog.
func (s *Store) Backlog(ctx context.Context) (b Backlog, err error) {
	var oldest sql.NullInt64
	err = s.reader.QueryRowContext(
		ctx,
		`SELECT count(CASE WHEN state = 'recorded' AND reason <> $1 THEN 1 END), count(CASE WHEN state = 'submitted' THEN 1 END),
			count(CASE WHEN state = 'recorded' AND reason = $1 THEN 1 END), min(CASE WHEN reason <> $1 THEN recorded_ms END)
		FROM segment WHERE state IN ('recorded', 'submitted')`,
		ReasonInDoubt,
	).
		Scan(&b.Recorded, &b.Submitted, &b.Held, &oldest)
	b.Oldest = fromMillis(oldest.Int64)
	return b, err
}
