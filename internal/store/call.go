package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"callscreen/internal/report"
)

// States of a call.
const (
	CallLive  = "live"
	CallEnded = "ended"
)

// Call is one call, without its segments.
type Call struct {
	ID        string
	StartedAt time.Time
	EndedAt   time.Time
	State     string
	Metadata  map[string]string
	Simulated bool
	// Decision, Score and Summary are preliminary until Final.
	Decision string
	Final    bool
	Review   bool
	Score    *float64
	Summary  []byte // JSON, the report without the segments
	// Published is the last announced outcome, or "". Decisions is the number of announcements.
	Published     string
	Decisions     int
	PolicyVersion int64 // of the last decision
	DecidedAt     time.Time
	// Number counts the calls with this id, from 1. Carried is the outcome of an earlier one that no person has closed.
	Number  int
	Carried string
	// AudioUntil is the time to delete the audio. It is nil while unknown, and after the deletion.
	AudioUntil *time.Time
}

// PartKey identifies a part: the recording of a call by one process.
type PartKey struct {
	Call string `json:"call"`
	// Part is the start of the recording in milliseconds since 1970. Offsets of its segments are relative to it.
	Part int64  `json:"part"`
	Node string `json:"node"`
}

// Part is one recording of a call, with its progress.
type Part struct {
	PartKey
	Metadata  map[string]string `json:"metadata,omitempty"`
	Simulated bool              `json:"simulated,omitempty"`
	EndedAt   time.Time         `json:"ended_at,omitzero"`
	How       string            `json:"how,omitempty"` // reason of its end, "" if all legs hung up
	Warnings  []string          `json:"warnings,omitempty"`
	Legs      []LegProgress     `json:"legs,omitempty"`
	Number    int               `json:"-"` // of the call that it belongs to, among those with its id
}

// LegProgress is the recorded length of a leg in a part.
type LegProgress struct {
	PartKey  `json:"-"`
	Leg      string        `json:"leg"`
	Duration time.Duration `json:"duration"`
	Lost     time.Duration `json:"lost"`
	// Segments is the number of segments that were cut, 0 if not counted. It is compared with the rows at the end of the
	// part, and not stored.
	Segments int `json:"segments,omitempty"`
	// Ledger is nil if it is not known.
	Ledger *report.Ledger `json:"ledger,omitempty"`
	// Metadata holds the announced metadata, one map for each alternative if the senders of the leg disagree. The metadata of
	// a bound sender holds for its own leg only.
	Metadata []map[string]string `json:"metadata,omitempty"`
	Bound    bool                `json:"bound,omitempty"`

	asCall bool // Metadata is that of the call, and not set yet
}

// LockCall reads a call and locks it until the transaction ends.
func (t *Tx) LockCall(ctx context.Context, id string) (Call, error) {
	return scanCall(t.tx.QueryRowContext(ctx, "SELECT "+callColumns+" FROM call WHERE id = $1"+t.s.forUpdate(), id))
}

// Call reads a call. It returns ErrNotFound if there is none.
func (s *Store) Call(ctx context.Context, id string) (Call, error) {
	return scanCall(s.reader.QueryRowContext(ctx, "SELECT "+callColumns+" FROM call WHERE id = $1", id))
}

const callColumns = "id, started_ms, ended_ms, state, metadata, simulated, decision, final, review, score, summary, published, " +
	"decisions, policy_version, decided_ms, audio_until_ms, " +
	"number, carried"

func scanCall(row interface{ Scan(...any) error }) (c Call, err error) {
	var started, ended, decided int64
	var metadata, summary string
	var until sql.NullInt64
	err = row.Scan(
		&c.ID,
		&started,
		&ended,
		&c.State,
		&metadata,
		&c.Simulated,
		&c.Decision,
		&c.Final,
		&c.Review,
		&c.Score,
		&summary,
		&c.Published,
		&c.Decisions,
		&c.PolicyVersion,
		&decided,
		&until,
		&c.Number,
		&c.Carried,
	)
	if errors.Is(err, sql.ErrNoRows) {
		return c, ErrNotFound
	}
	if err != nil {
		return c, fmt.Errorf("read a call: %w", err)
	}
	c.StartedAt, c.EndedAt, c.DecidedAt, c.Summary = fromMillis(started), fromMillis(ended), fromMillis(decided), []byte(summary)
	if until.Valid {
		at := time.UnixMilli(until.Int64).UTC()
		c.AudioUntil = &at
	}
	if err := json.Unmarshal([]byte(metadata), &c.Metadata); err != nil {
		return c, fmt.Errorf("metadata of call %s: %w", c.ID, err)
	}
	return c, nil
}

// SaveCall writes the mutable columns of a call. The call must be locked.
func (t *Tx) SaveCall(ctx context.Context, c *Call) error {
	var until *int64
	if c.AudioUntil != nil {
		ms := c.AudioUntil.UnixMilli()
		until = &ms
	}
	metadata, err := json.Marshal(c.Metadata)
	if err != nil {
		return err
	}
	_, err = t.exec(
		ctx,
		`UPDATE call SET started_ms = $2, ended_ms = $3, state = $4, metadata = $5, search = $6, simulated = $7, decision = $8, final = $9,
		review = $10, score = $11, summary = $12, published = $13, decisions = $14, policy_version = $15, decided_ms = $16,
			audio_until_ms = $17, number = $18, carried = $19 WHERE id = $1`,
		c.ID,
		millis(c.StartedAt),
		millis(c.EndedAt),
		c.State,
		string(metadata),
		searchText(c.ID, c.Metadata),
		flag(c.Simulated),
		c.Decision,
		flag(c.Final),
		flag(c.Review),
		c.Score,
		string(c.Summary),
		c.Published,
		c.Decisions,
		c.PolicyVersion,
		millis(c.DecidedAt),
		until,
		c.Number,
		c.Carried,
	)
	if err != nil {
		return fmt.Errorf("save call %s: %w", c.ID, err)
	}
	return nil
}

// searchText returns the text that searches are matched against.
func searchText(id string, metadata map[string]string) string {
	words := []string{id}
	for _, k := range slices.Sorted(maps.Keys(metadata)) {
		words = append(words, metadata[k])
	}
	text := strings.ToLower(strings.Join(words, "\n"))
	const most = 500 // limit for the index
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// Begin inserts a part, and its call if it is new. A call that had ended becomes live again, unless the part had ended
// too. Begin returns the call, locked. It returns ErrErased if the call was erased after the part had begun.
func (t *Tx) Begin(ctx context.Context, p Part) (Call, error) {
	metadata := p.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		return Call{}, err
	}
	if _, err := t.exec(
		ctx,
		"INSERT INTO call (id, started_ms, state, metadata, search, simulated) VALUES ($1, $2, 'live', $3, $4, $5) ON CONFLICT (id) DO NOTHING",
		p.Call,
		p.Part,
		string(text),
		searchText(p.Call, metadata),
		flag(p.Simulated),
	); err != nil {
		return Call{}, fmt.Errorf("insert call %s: %w", p.Call, err)
	}
	c, err := t.LockCall(ctx, p.Call)
	if err != nil {
		return c, err
	}
	if err := t.notErased(ctx, p.PartKey); err != nil {
		return c, err
	}
	number, err := t.numberOf(ctx, c, p)
	if err != nil {
		return c, err
	}
	added, err := t.exec(
		ctx,
		"INSERT INTO part (call_id, part, node, number) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		p.Call,
		p.Part,
		p.Node,
		number,
	)
	if err != nil {
		return c, fmt.Errorf("save part of call %s: %w", p.Call, err)
	}
	news := added > 0
	for k, v := range metadata { // a leg that joins later can add metadata
		if _, ok := c.Metadata[k]; !ok {
			c.Metadata[k], news = v, true
		}
	}
	if !news {
		return c, nil
	}
	if added == 0 {
		return c, t.SaveCall(ctx, &c)
	}
	if number > c.Number {
		if err := t.nextNumber(ctx, &c); err != nil {
			return c, err
		}
	}
	if at := time.UnixMilli(p.Part).UTC(); at.Before(c.StartedAt) {
		c.StartedAt = at
	}
	c.Simulated = c.Simulated || p.Simulated
	if !c.EndedAt.IsZero() {
		line := Line{
			At:     time.UnixMilli(p.Part),
			Actor:  "machine",
			What:   AuditResumed,
			Call:   c.ID,
			Detail: Detail{"number": c.Number},
		}
		if err := t.Audit(ctx, line); err != nil {
			return c, err
		}
	}
	c.State, c.EndedAt = CallLive, time.Time{}
	return c, t.SaveCall(ctx, &c)
}

// Progress saves the length of a part, and its end if it has ended. The call must be locked. It ends with its last
// part.
func (t *Tx) Progress(ctx context.Context, c *Call, p Part) error {
	if err := t.saveLegs(ctx, p, ">="); err != nil {
		return err
	}
	if p.How != "" && !p.EndedAt.IsZero() { // interrupted: it ends no earlier than its recorded audio
		var longest int64
		if err := t.tx.QueryRowContext(
			ctx,
			"SELECT coalesce(max(duration_ms), 0) FROM leg WHERE call_id = $1 AND part = $2 AND node = $3",
			p.Call,
			p.Part,
			p.Node,
		).Scan(
			&longest,
		); err != nil {
			return fmt.Errorf("read legs of call %s: %w", p.Call, err)
		}
		if at := time.UnixMilli(p.Part + longest).UTC(); at.After(p.EndedAt) {
			p.EndedAt = at
		}
	}
	if err := t.brokenOff(ctx, p); err != nil {
		return err
	}
	if err := t.missing(ctx, p); err != nil {
		return err
	}
	warnings, err := json.Marshal(p.Warnings)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, "UPDATE part SET ended_ms = $4, how = $5, warnings = $6 WHERE call_id = $1 AND part = $2 AND node = $3",
		p.Call, p.Part, p.Node, millis(p.EndedAt), p.How, string(warnings)); err != nil {
		return fmt.Errorf("save part of call %s: %w", p.Call, err)
	}
	var open int
	var last int64
	if err := t.tx.QueryRowContext(
		ctx,
		"SELECT count(CASE WHEN ended_ms = 0 THEN 1 END), max(ended_ms) FROM part WHERE call_id = $1",
		p.Call,
	).Scan(
		&open,
		&last,
	); err != nil {
		return fmt.Errorf("read parts of call %s: %w", p.Call, err)
	}
	c.State, c.EndedAt = CallEnded, fromMillis(last)
	if open > 0 {
		c.State, c.EndedAt = CallLive, time.Time{}
	}
	return t.SaveCall(ctx, c)
}

// Parts returns the parts of a call with their legs, oldest first.
func (t *Tx) Parts(ctx context.Context, call string) ([]Part, error) { return parts(ctx, t.tx, call) }

func parts(ctx context.Context, q querier, call string) (list []Part, err error) {
	rows, err := q.QueryContext(
		ctx,
		"SELECT call_id, part, node, ended_ms, how, warnings, number FROM part WHERE call_id = $1 ORDER BY part, node",
		call,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var p Part
		var ended int64
		var warnings string
		if err := r.Scan(&p.Call, &p.Part, &p.Node, &ended, &p.How, &warnings, &p.Number); err != nil {
			return err
		}
		p.EndedAt = fromMillis(ended)
		list = append(list, p)
		return json.Unmarshal([]byte(warnings), &list[len(list)-1].Warnings)
	})
	if err != nil {
		return nil, fmt.Errorf("read parts of call %s: %w", call, err)
	}
	all, err := legs(ctx, q, call)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		for i := range list {
			if list[i].PartKey == l.PartKey {
				list[i].Legs = append(list[i].Legs, l)
			}
		}
	}
	return list, nil
}

// Filter selects calls. Zero fields select all.
type Filter struct {
	Decision, State string
	Query           string // substring of the id or the metadata, case-insensitive
	Review          string // "waiting" or "closed"
	Unscreened      bool   // only calls whose final outcome is inconclusive
	// Before selects calls after this one in the list.
	Before *Cursor
	Limit  int // 0 means 100
}

// Cursor is a position in the list of calls, newest first.
type Cursor struct {
	StartedMS int64
	ID        string
}

// query returns the SELECT of a list, for one call more than the limit. position is the substring function of the
// database.
func (f Filter) query(limit int, position string) (query string, args []any) {
	var where []string
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		where = append(where, condition)
	}
	if f.Decision != "" {
		add("decision = ?", f.Decision)
	}
	if f.State != "" {
		add("state = ?", f.State)
	}
	if f.Query != "" {
		add(position+"(search, ?) > 0", strings.ToLower(f.Query))
	}
	if f.Review != "" {
		add("review_state = ?", f.Review)
	}
	if f.Unscreened {
		add(unscreened)
	}
	if f.Before != nil {
		add("(started_ms, id) < (?, ?)", f.Before.StartedMS, f.Before.ID)
	}
	list := " FROM call"
	if len(where) > 0 {
		list += " WHERE " + strings.Join(where, " AND ")
	}
	list += fmt.Sprintf(" ORDER BY started_ms DESC, id DESC LIMIT %d", limit+1)
	if f.Query != "" { // a search may scan all calls; keep it in the index
		list = " FROM call WHERE id IN (SELECT id" + list + ") ORDER BY started_ms DESC, id DESC"
	}
	return "SELECT " + callColumns + list, args
}

// Calls returns calls, newest first, and the cursor of the next page, or nil at the end.
func (s *Store) Calls(ctx context.Context, f Filter) (list []Call, next *Cursor, err error) {
	limit := f.Limit
	if limit <= 0 {
		limit = 100
	}
	position := "instr"
	if s.postgres {
		position = "strpos"
	}
	query, args := f.query(limit, position)
	rows, err := s.reader.QueryContext(ctx, query, args...)
	err = each(rows, err, func(r *sql.Rows) error {
		c, err := scanCall(r)
		list = append(list, c)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list calls: %w", err)
	}
	if len(list) > limit {
		list = list[:limit]
		last := list[limit-1]
		next = &Cursor{StartedMS: millis(last.StartedAt), ID: last.ID}
	}
	return list, next, nil
}
