package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Review is where a person stands with a call.
type Review struct {
	Call         string
	OpenedAt     time.Time
	State        string // ReviewWaiting or ReviewClosed
	Assignee     string // who has claimed it, until ClaimedUntil
	ClaimedUntil time.Time
	Disposition  string // the last one; it stands from an earlier time when the review was opened again
	Note         string
	ClosedAt     time.Time
	ClosedBy     string
	Version      int // grows by one with each change
}

// ClaimedBy is who works on the call at a time, "" if nobody does.
func (r Review) ClaimedBy(now time.Time) string {
	if r.State != ReviewWaiting || !now.Before(r.ClaimedUntil) {
		return ""
	}
	return r.Assignee
}

// What a person can do with a review.
const (
	ReviewClaim   = "claim"   // take the call, so that nobody else does
	ReviewRelease = "release" // leave it to others
	ReviewDispose = "dispose" // say what it is, which closes the review; or correct what was said
)

// Dispositions are what a person can say of a call.
var Dispositions = []string{"confirmed_synthetic", "false_alarm", "unsure"}

// ErrNoReview says that nobody has to look at a call, and nobody had.
var ErrNoReview = errors.New("the call is not up for review")

// ReviewConflict is why a review was not changed. It is an ErrConflict.
type ReviewConflict struct {
	Why     string
	Current Review
}

func (e *ReviewConflict) Error() string { return e.Why }
func (e *ReviewConflict) Unwrap() error { return ErrConflict }

// ReviewChange is what somebody wants to do with a review.
type ReviewChange struct {
	Call, Action string
	Who          string
	Version      int  // the one that was seen
	Override     bool // may release what another has claimed
	Disposition  string
	Note         string
	Lease        time.Duration // of a claim
	At           time.Time
}

// ChangeReview changes a review, if it is still the one that was seen, and notes in the audit who did so. It returns the
// review as it is now. The error is a *ReviewConflict if somebody else was faster.
func (s *Store) ChangeReview(ctx context.Context, ch ReviewChange) (r Review, err error) {
	err = s.InTx(ctx, func(t *Tx) error {
		if _, err := t.LockCall(ctx, ch.Call); err != nil {
			return err
		}
		if r, err = scanReview(t.tx.QueryRowContext(ctx, "SELECT "+reviewColumns+" FROM review WHERE call_id = $1", ch.Call)); err != nil {
			return err
		}
		detail, err := r.apply(ch)
		if err != nil {
			return err
		}
		if err := t.saveReview(ctx, r, ch); err != nil {
			return err
		}
		return t.Audit(ctx, Line{
			At:     ch.At,
			Actor:  ch.Who,
			What:   AuditReview,
			Call:   ch.Call,
			Detail: detail,
		})
	})
	return r, err
}

// apply makes the change, and says what of it belongs into the audit. A note is personal, and does not.
func (r *Review) apply(ch ReviewChange) (Detail, error) {
	refuse := func(format string, args ...any) (Detail, error) {
		return nil, &ReviewConflict{Why: fmt.Sprintf(format, args...), Current: *r}
	}
	if ch.Version != r.Version {
		return refuse("somebody else has changed the review: it is at version %d, not %d", r.Version, ch.Version)
	}
	holder := r.ClaimedBy(ch.At)
	if holder != "" && holder != ch.Who && (ch.Action != ReviewRelease || !ch.Override) {
		return refuse("%s is working on this call until %s", holder, r.ClaimedUntil.UTC().Format("15:04 MST"))
	}
	r.Version++
	detail := Detail{"action": ch.Action, "version": r.Version}
	switch ch.Action {
	case ReviewClaim:
		if r.State == ReviewClosed {
			return refuse("the review is closed")
		}
		r.Assignee, r.ClaimedUntil = ch.Who, ch.At.Add(ch.Lease)
	case ReviewRelease:
		if holder == "" {
			return refuse("nobody has claimed the call")
		}
		if holder != ch.Who {
			detail["claimed_by"] = holder
		}
		r.Assignee, r.ClaimedUntil = "", time.Time{}
	case ReviewDispose:
		if !slices.Contains(Dispositions, ch.Disposition) {
			return nil, fmt.Errorf("there is no disposition %q", ch.Disposition)
		}
		detail["disposition"] = ch.Disposition
		if r.State == ReviewClosed {
			detail["corrects"] = r.Disposition
		}
		r.State, r.Assignee, r.ClaimedUntil = ReviewClosed, "", time.Time{}
		r.Disposition, r.Note, r.ClosedAt, r.ClosedBy = ch.Disposition, ch.Note, ch.At, ch.Who
	default:
		return nil, fmt.Errorf("there is no action %q", ch.Action)
	}
	return detail, nil
}

func (t *Tx) saveReview(ctx context.Context, r Review, ch ReviewChange) error {
	_, err := t.exec(
		ctx,
		`UPDATE review SET state = $2, assignee = $3, claimed_until_ms = $4, disposition = $5, note = $6, closed_ms = $7, closed_by = $8, version = $9 WHERE call_id = $1`,
		r.Call,
		r.State,
		r.Assignee,
		millis(r.ClaimedUntil),
		r.Disposition,
		r.Note,
		millis(r.ClosedAt),
		r.ClosedBy,
		r.Version,
	)
	if err != nil {
		return fmt.Errorf("save the review of call %s: %w", r.Call, err)
	}
	if ch.Action != ReviewDispose {
		return nil
	}
	if _, err := t.exec(ctx, "INSERT INTO disposition (call_id, version, at_ms, who, disposition, note) VALUES ($1, $2, $3, $4, $5, $6)",
		r.Call, r.Version, millis(ch.At), ch.Who, ch.Disposition, ch.Note); err != nil {
		return fmt.Errorf("keep the disposition of call %s: %w", r.Call, err)
	}
	return t.reviewState(ctx, r.Call, ReviewClosed)
}

// reviewState notes the state of a review in its call, which must be locked.
func (t *Tx) reviewState(ctx context.Context, call, state string) error {
	if _, err := t.exec(ctx, "UPDATE call SET review_state = $2 WHERE id = $1", call, state); err != nil {
		return fmt.Errorf("note the review in call %s: %w", call, err)
	}
	return nil
}

const reviewColumns = "call_id, opened_ms, state, assignee, claimed_until_ms, disposition, note, closed_ms, closed_by, version"

func scanReview(row interface{ Scan(...any) error }) (r Review, err error) {
	var opened, until, closed int64
	err = row.Scan(&r.Call, &opened, &r.State, &r.Assignee, &until, &r.Disposition, &r.Note, &closed, &r.ClosedBy, &r.Version)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoReview
	}
	if err != nil {
		return r, fmt.Errorf("read a review: %w", err)
	}
	r.OpenedAt, r.ClaimedUntil, r.ClosedAt = fromMillis(opened), fromMillis(until), fromMillis(closed)
	return r, nil
}

// Reviews finds the reviews of calls, by call. Calls that nobody has to look at have none.
func (s *Store) Reviews(ctx context.Context, calls ...string) (map[string]Review, error) {
	found := map[string]Review{}
	if len(calls) == 0 {
		return found, nil
	}
	marks, args := marks(calls)
	rows, err := s.reader.QueryContext(ctx, "SELECT "+reviewColumns+" FROM review WHERE call_id IN ("+marks+")", args...)
	err = each(rows, err, func(r *sql.Rows) error {
		one, err := scanReview(r)
		found[one.Call] = one
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list reviews: %w", err)
	}
	return found, nil
}

// Disposition is what a person has said of a call, at a time.
type Disposition struct {
	Version     int
	At          time.Time
	Who         string
	Disposition string
	Note        string
}

// DispositionsOf lists what was said of a call, first to last.
func (s *Store) DispositionsOf(ctx context.Context, call string) (list []Disposition, err error) {
	rows, err := s.reader.QueryContext(
		ctx,
		"SELECT version, at_ms, who, disposition, note FROM disposition WHERE call_id = $1 ORDER BY version",
		call,
	)
	err = each(rows, err, func(r *sql.Rows) error {
		var d Disposition
		var at int64
		if err := r.Scan(&d.Version, &at, &d.Who, &d.Disposition, &d.Note); err != nil {
			return err
		}
		d.At = fromMillis(at)
		list = append(list, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the dispositions of call %s: %w", call, err)
	}
	return list, nil
}
