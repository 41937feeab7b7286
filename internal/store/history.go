package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"callscreen/internal/report"
)

// Window selects past calls, and how much of each to read.
type Window struct {
	// From and To limit the start of the calls: at From or later, and before To. Zero means no limit.
	From, To time.Time
	Read     Reading
	// Readers is the number of pages read concurrently, each by its own connection. Default: 1, which leaves the other
	// cores free.
	Readers int
}

// Reading selects how much of a call is read.
type Reading int

const (
	// ReadFindings reads what a policy and its comparison with others need: of each call the id, start, metadata, decision,
	// review, number and whether it is simulated; of each segment leg, speech, state, reason and score.
	ReadFindings Reading = iota
	ReadCalls            // no segments
	ReadAll
)

// Past is an ended call, with its segments in order.
type Past struct {
	Call
	Hearing  Hearing
	Segments []SegmentRow // of its last number
	// Legs are those of the last number. Their ledgers have no more than a policy reads.
	Legs []LegProgress

	text []byte // JSON of Metadata, until finish
}

// Hearing is the review of a call, or zero if it was never queued for review.
type Hearing struct {
	OpenedAt    time.Time
	State       string
	Assignee    string
	Disposition string // "" while it waits for review
	Note        string
	ClosedAt    time.Time
	ClosedBy    string
}

// pageSize is the number of calls per query.
const pageSize = 200

// page is a run of calls in order, with the error of reading it.
type page struct {
	after, last Cursor // exclusive start, inclusive end
	calls       []Past
	err         error
	read        chan struct{} // receives a value when calls and err are set
}

// History visits ended calls, oldest first. Each page is a consistent snapshot, but pages are read at different times:
// no transaction stays open between pages, so a slow caller does not block cleanup in the database. A visited call is
// valid until the next one. An error is the last element.
func (s *Store) History(ctx context.Context, w Window) iter.Seq2[*Past, error] {
	return func(yield func(*Past, error) bool) {
		readers := max(w.Readers, 1)
		ctx, cancel := context.WithCancel(ctx)
		queries, err := s.prepare(ctx, w.Read)
		if err != nil {
			cancel()
			yield(nil, fmt.Errorf("read past calls: %w", err))
			return
		}
		defer queries.close()
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		// Pages circulate: free, due, read by a reader, visited in order, free.
		free, due, order := make(chan *page, readers+1), make(chan *page), make(chan *page, readers+1)
		for range readers + 1 {
			free <- &page{read: make(chan struct{}, 1)}
		}
		var failed error
		running.Go(func() {
			defer close(due)
			defer close(order)
			failed = s.cut(ctx, w, free, due, order)
		})
		for range readers {
			running.Go(func() {
				for p := range due {
					p.err = s.fill(ctx, queries, w.Read, p)
					p.read <- struct{}{}
				}
			})
		}
		for p := range order {
			<-p.read
			for i := range p.calls {
				if p.err == nil {
					p.err = p.calls[i].finish()
				}
				if p.err == nil && !yield(&p.calls[i], nil) {
					return
				}
			}
			if p.err != nil {
				yield(nil, fmt.Errorf("read past calls: %w", p.err))
				return
			}
			free <- p
		}
		if failed != nil {
			yield(nil, fmt.Errorf("list past calls: %w", failed))
		}
	}
}

// cut determines the page boundaries and passes pages to the readers as they become free.
func (s *Store) cut(ctx context.Context, w Window, free <-chan *page, due, order chan<- *page) error {
	at, end := Cursor{StartedMS: math.MinInt64}, Cursor{StartedMS: math.MaxInt64} // ids are not empty, so no call equals these bounds
	if !w.From.IsZero() {
		at.StartedMS = w.From.UnixMilli()
	}
	if !w.To.IsZero() {
		end.StartedMS = w.To.UnixMilli()
	}
	for {
		var p *page
		select {
		case p = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		p.after = at
		err := s.reader.QueryRowContext(
			ctx,
			"SELECT started_ms, id"+endedCalls+" LIMIT 1 OFFSET $5",
			at.StartedMS,
			at.ID,
			end.StartedMS,
			end.ID,
			pageSize-1,
		).
			Scan(&p.last.StartedMS, &p.last.ID)
		rest := errors.Is(err, sql.ErrNoRows)
		if rest {
			p.last, err = end, nil
		}
		if err != nil {
			return err
		}
		at = p.last
		order <- p // the channel has room for all pages
		select {
		case due <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
		if rest {
			return nil
		}
	}
}

const endedCalls = " FROM call WHERE state = 'ended' AND (started_ms, id) > ($1, $2) AND (started_ms, id) <= ($3, $4) " +
	"ORDER BY started_ms, id"

// queries are the statements that read a page. Parsing them takes a part of the time, so they are prepared once.
type queries struct{ calls, reviews, segments, legs *sql.Stmt }

func (s *Store) prepare(ctx context.Context, read Reading) (q *queries, err error) {
	columns, of := callColumns, "n, "+segmentColumns
	if read == ReadFindings {
		columns, of = decidedColumns, findingColumns
	}
	// The calls of the page with their numbers, from 1, for joins.
	inPage := " FROM (SELECT id AS past_id, metadata AS past_metadata, " +
		"row_number() OVER (ORDER BY started_ms, id) AS n" + endedCalls + ") page JOIN "
	q = &queries{}
	for _, one := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&q.calls, columns + endedCalls},
		{&q.reviews, "n, opened_ms, state, assignee, disposition, note, closed_ms, closed_by" + inPage + "review ON call_id = past_id"},
		{&q.segments, of + inPage + "segment ON call_id = past_id ORDER BY part + offset_ms, leg, seq, part, node"},
		{&q.legs, accountColumns + inPage + "leg ON call_id = past_id"},
	} {
		if *one.to, err = s.reader.PrepareContext(ctx, "SELECT "+one.query); err != nil {
			q.close()
			return nil, err
		}
	}
	return q, nil
}

func (q *queries) close() {
	for _, s := range []*sql.Stmt{q.calls, q.reviews, q.segments, q.legs} {
		if s != nil {
			_ = s.Close() // it has no result any more
		}
	}
}

// fill reads a page in one snapshot.
func (s *Store) fill(ctx context.Context, q *queries, read Reading, p *page) error {
	tx, err := s.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // read-only
	if s.postgres {
		// The planner cannot know how few calls a page has, and would read all segments.
		if _, err := tx.ExecContext(
			ctx,
			"SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off",
		); err != nil {
			return err
		}
	}
	scanRow, scan := func(r *sql.Rows, to *Past) (err error) { to.Call, err = scanCall(r); return err }, scanWhole
	if read == ReadFindings {
		scanRow, scan = scanDecided, new(findingRow).scan
	}
	ask := func(query *sql.Stmt, do func(*sql.Rows) error) error {
		rows, err := tx.StmtContext(ctx, query).QueryContext(ctx, p.after.StartedMS, p.after.ID, p.last.StartedMS, p.last.ID)
		return each(rows, err, do)
	}
	p.calls = p.calls[:0]
	err = ask(q.calls, func(r *sql.Rows) error {
		n := len(p.calls)
		if n < cap(p.calls) { // reuses the memory of a visited call
			p.calls = p.calls[:n+1]
			p.calls[n] = Past{Segments: p.calls[n].Segments[:0], Legs: p.calls[n].Legs[:0]}
		} else {
			p.calls = append(p.calls, Past{})
		}
		return scanRow(r, &p.calls[n])
	})
	if err != nil || len(p.calls) == 0 {
		return err
	}
	if err := ask(q.reviews, func(r *sql.Rows) error { return scanHearing(r, p.calls) }); err != nil || read == ReadCalls {
		return err
	}
	if err := ask(q.segments, func(r *sql.Rows) error { return scan(r, p.calls) }); err != nil {
		return err
	}
	if err := ask(q.legs, func(r *sql.Rows) error { return scanAccount(r, p.calls) }); err != nil {
		return err
	}
	for i := range p.calls {
		if p.calls[i].Number > 1 {
			if err := onlyLastNumber(ctx, tx, &p.calls[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// finish does what needs no database: another goroutine reads the next page meanwhile.
func (p *Past) finish() error {
	if p.text != nil {
		if err := json.Unmarshal(p.text, &p.Metadata); err != nil {
			return fmt.Errorf("metadata of call %s: %w", p.ID, err)
		}
	}
	for i := range p.Legs {
		if l := &p.Legs[i]; l.asCall {
			l.Metadata, l.asCall = []map[string]string{p.Metadata}, false
		}
	}
	slices.SortFunc(p.Legs, compareLegs)
	return nil
}

// decidedColumns are the columns of a call that ReadFindings reads. Each column of a row costs about as much as the row, so
// the numbers share one.
const decidedColumns = "id, started_ms, metadata, decision, number * 4 + review * 2 + simulated"

func scanDecided(r *sql.Rows, p *Past) error {
	var started, flags int64
	if err := r.Scan(&p.ID, &started, &p.text, &p.Decision, &flags); err != nil {
		return err
	}
	p.StartedAt, p.State = fromMillis(started), CallEnded
	p.Number, p.Review, p.Simulated = int(flags/4), flags&2 != 0, flags&1 != 0
	return nil
}

// numbered is a column that holds the number of the call in its page, and another number.
type numbered int64

// besideNumber is the expression of a numbered column. The other number is less than 2^51.
func besideNumber(column string) string { return "n * 4503599627370496 + " + column }

func (v numbered) split() (n int, other int64) {
	n = int((v + 1<<51) >> 52)
	return n, int64(v) - int64(n)<<52
}

// accountColumns are the columns of a leg that a policy reads. Each costs the driver about as much as the row, and NULL the least, so
// several share one, and what few legs have is NULL for the others. Duration and loss share a column; a loss that is too long for it is
// rare.
var accountColumns = besideNumber("part") + ", node || '\n' || leg, " +
	"CASE WHEN lost_ms BETWEEN 0 AND 1048575 THEN duration_ms * 1048576 + lost_ms ELSE duration_ms * 1048576 END, " +
	"CASE WHEN ledger = '' THEN -1 WHEN recorded_ms <> duration_ms - lost_ms THEN recorded_ms END, " +
	"CASE WHEN lost_ms NOT BETWEEN 0 AND 1048575 OR noise_ms <> 0 OR paused_ms <> 0 OR interrupted <> 0 OR bound <> 0 OR unheard <> '' " +
	"OR metadata <> '[' || past_metadata || ']' " +
	"THEN lost_ms || ' ' || noise_ms || ' ' || paused_ms || ' ' || interrupted || ' ' || bound || ' ' || unheard || '\n' || metadata END"

// compareLegs orders the legs of one call. The database would sort those of all calls of a page.
func compareLegs(a, b LegProgress) int {
	return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Leg, b.Leg))
}

func scanAccount(r *sql.Rows, calls []Past) error {
	var part numbered
	var name string
	var times int64
	var recorded sql.NullInt64
	var rare sql.NullString
	if err := r.Scan(&part, &name, &times, &recorded, &rare); err != nil {
		return err
	}
	n, at := part.split()
	l := LegProgress{PartKey: PartKey{Call: calls[n-1].ID, Part: at}, Duration: duration(times >> 20), Lost: duration(times & (1<<20 - 1))}
	l.Node, l.Leg, _ = strings.Cut(name, "\n") // which no name has
	switch {
	case !recorded.Valid:
		l.Ledger = &report.Ledger{Recorded: report.Seconds(l.Duration - l.Lost)}
	case recorded.Int64 >= 0:
		l.Ledger = &report.Ledger{Recorded: report.Seconds(duration(recorded.Int64))}
	}
	l.asCall = !rare.Valid
	if rare.Valid {
		if err := l.setRare(rare.String); err != nil {
			return err
		}
	}
	calls[n-1].Legs = append(calls[n-1].Legs, l)
	return nil
}

// setRare sets what few legs have, from its column in accountColumns.
func (l *LegProgress) setRare(text string) error {
	var lost, noise, paused int64
	var interrupted, bound int
	text, metadata, _ := strings.Cut(text, "\n") // JSON has it only as an escape
	if n, err := fmt.Sscanf(text, "%d %d %d %d %d", &lost, &noise, &paused, &interrupted, &bound); err != nil {
		return fmt.Errorf("leg %s of call %s, after %d numbers: %w", l.Leg, l.Call, n, err)
	}
	if metadata != "" {
		if err := json.Unmarshal([]byte(metadata), &l.Metadata); err != nil {
			return err
		}
	}
	unheard := ""
	if fields := strings.SplitN(text, " ", 6); len(fields) == 6 {
		unheard = fields[5]
	}
	l.Lost, l.Bound = duration(lost), bound != 0
	if l.Ledger == nil {
		return nil
	}
	l.Ledger.Noise, l.Ledger.Paused = report.Seconds(duration(noise)), report.Seconds(duration(paused))
	l.Ledger.Interrupted = interrupted != 0
	if unheard == "" {
		return nil
	}
	var times map[string]int64
	if err := json.Unmarshal([]byte(unheard), &times); err != nil {
		return err
	}
	l.Ledger.Unrecorded = map[string]report.Seconds{}
	for reason, ms := range times {
		l.Ledger.Unrecorded[reason] = report.Seconds(duration(ms))
	}
	return nil
}

// onlyLastNumber removes the segments and legs of earlier calls with the same id.
func onlyLastNumber(ctx context.Context, q querier, c *Past) error {
	all, err := parts(ctx, q, c.ID)
	if err != nil {
		return err
	}
	last := map[PartKey]bool{}
	for _, p := range all {
		last[p.PartKey] = p.Number == c.Number
	}
	list, err := segments(ctx, q, c.ID)
	if err != nil {
		return err
	}
	c.Segments = slices.DeleteFunc(list, func(g SegmentRow) bool { return !last[g.PartKey] })
	c.Legs = slices.DeleteFunc(c.Legs, func(l LegProgress) bool { return !last[l.PartKey] })
	return nil
}

func scanHearing(r *sql.Rows, calls []Past) error {
	var n int
	var opened, closed int64
	var h Hearing
	if err := r.Scan(&n, &opened, &h.State, &h.Assignee, &h.Disposition, &h.Note, &closed, &h.ClosedBy); err != nil {
		return err
	}
	h.OpenedAt, h.ClosedAt = fromMillis(opened), fromMillis(closed)
	calls[n-1].Hearing = h
	return nil
}

// findingColumns omit values that most segments share: NULL is faster to scan than a text.
var findingColumns = besideNumber("speech_ms") + ", leg, CASE WHEN state <> 'scored' OR reason <> '' THEN state || ' ' || reason END, score"

// findingRow is reused: a million allocations would be slow.
type findingRow struct {
	speech numbered
	leg    string
	state  sql.NullString // and reason
	score  sql.NullFloat64
}

func (f *findingRow) scan(r *sql.Rows, calls []Past) error {
	if err := r.Scan(&f.speech, &f.leg, &f.state, &f.score); err != nil {
		return err
	}
	n, speech := f.speech.split()
	to := &calls[n-1].Segments
	if len(*to) == cap(*to) {
		*to = slices.Grow(*to, 8)
	}
	*to = (*to)[:len(*to)+1]
	g := &(*to)[len(*to)-1]
	g.Leg, g.Speech, g.State, g.Reason, g.Score = f.leg, duration(speech), SegmentScored, "", nil
	if f.state.Valid {
		g.State, g.Reason, _ = strings.Cut(f.state.String, " ")
	}
	if f.score.Valid {
		score := f.score.Float64
		g.Score = &score
	}
	return nil
}

func scanWhole(r *sql.Rows, calls []Past) error {
	var n int
	g, err := scanSegment(withNumber{r, &n})
	if err != nil {
		return err
	}
	calls[n-1].Segments = append(calls[n-1].Segments, g)
	return nil
}

// withNumber scans a number before the other columns.
type withNumber struct {
	rows *sql.Rows
	n    *int
}

func (r withNumber) Scan(to ...any) error { return r.rows.Scan(append([]any{r.n}, to...)...) }
