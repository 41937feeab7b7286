package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Review is the state of the review of a call.
type Review struct {
	Call         string
	OpenedAt     time.Time
	State        string // ReviewWaiting or ReviewClosed
	Assignee     string // user who claimed it, until ClaimedUntil
	ClaimedUntil time.Time
	Disposition  string // the last one; kept when the review is opened again
	Note         string
	ClosedAt     time.Time
	ClosedBy     string
	Version      int // incremented by each change
}

// ClaimedBy returns the user who holds the claim at a time, or "".
func (r Review) ClaimedBy(now time.Time) string {
	if r.State != ReviewWaiting || !now.Before(r.ClaimedUntil) {
		return ""
	}
	return r.Assignee
}

// Actions on a review.
const (
	ReviewClaim   = "claim"   // reserve the call for one user
	ReviewRelease = "release" // end the claim
	ReviewDispose = "dispose" // set the disposition and close the review, or correct a disposition
)

// Dispositions are the possible results of a review.
var Dispositions = []string{"confirmed_synthetic", "false_alarm", "unsure"}

// ErrNoReview reports that a call was never queued for review.
var ErrNoReview = errors.New("the call is not up for review")

// ReviewConflict is the reason why a review was not changed. It wraps ErrConflict.
type ReviewConflict struct {
	Why     string
	Current Review
}

func (e *ReviewConflict) Error() string { return e.Why }
func (e *ReviewConflict) Unwrap() error { return ErrConflict }

// ReviewChange is a requested change of a review.
type ReviewChange struct {
	Call, Action string
	Who          string
	Version      int  // version that the user saw
	Override     bool // may release a claim of another user
	Disposition  string
	Note         string
	Lease        time.Duration // duration of a claim
	At           time.Time
}

// ChangeReview changes a review if its version is unchanged, and audits the change. It returns the new state. The error
// is a *ReviewConflict if another user was faster.
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

// apply makes the change and returns the detail for the audit. A note is personal data, and is left out.
func (r *Review) apply(ch ReviewChange) (Detail, error) {
	refuse := func(format string, args ...any) (Detail, error) {
		return nil, &ReviewConflict{Why: fmt.Sprintf(format, args...), Current: *r}
	}
	if ch.Version != r.Version {
		return refuse("the review was changed meanwhile: it has version %d, not %d", r.Version, ch.Version)
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
			return refuse("the call is not claimed")
		}
		if holder != ch.Who {
			detail["claimed_by"] = holder
		}
		r.Assignee, r.ClaimedUntil = "", time.Time{}
	case ReviewDispose:
		if !slices.Contains(Dispositions, ch.Disposition) {
			return nil, fmt.Errorf("unknown disposition %q", ch.Disposition)
		}
		detail["disposition"] = ch.Disposition
		if r.State == ReviewClosed {
			detail["corrects"] = r.Disposition
		}
		r.State, r.Assignee, r.ClaimedUntil = ReviewClosed, "", time.Time{}
		r.Disposition, r.Note, r.ClosedAt, r.ClosedBy = ch.Disposition, ch.Note, ch.At, ch.Who
	default:
		return nil, fmt.Errorf("unknown action %q", ch.Action)
	}
	return detail, nil
}

func (t *Tx) saveReview(ctx context.Context, r Review, ch ReviewChange) error {
	_, err := t.exec(
		ctx,
		`UPDATE review SET state = $2, assignee = $3, claimed_until_ms = $4, disposition = $5, note = $6, closed_ms = $7, closed_by =
			$8, version = $9 WHERE call_id = $1`,
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
		return fmt.Errorf("save review of call %s: %w", r.Call, err)
	}
	if ch.Action != ReviewDispose {
		return nil
	}
	if _, err := t.exec(ctx, "INSERT INTO disposition (call_id, version, at_ms, who, disposition, note) VALUES ($1, $2, $3, $4, $5, $6)",
		r.Call, r.Version, millis(ch.At), ch.Who, ch.Disposition, ch.Note); err != nil {
		return fmt.Errorf("save disposition of call %s: %w", r.Call, err)
	}
	if _, err := t.exec(ctx, "UPDATE call SET carried = '' WHERE id = $1", r.Call); err != nil {
		return fmt.Errorf("close the review of call %s: %w", r.Call, err)
	}
	return t.reviewState(ctx, r.Call, ReviewClosed)
}

// reviewState saves the state of a review in its call, which must be locked.
func (t *Tx) reviewState(ctx context.Context, call, state string) error {
	if _, err := t.exec(ctx, "UPDATE call SET review_state = $2 WHERE id = $1", call, state); err != nil {
		return fmt.Errorf("save review state of call %s: %w", call, err)
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

// Review returns the review of a call, or ErrNoReview.
func (t *Tx) Review(ctx context.Context, call string) (Review, error) {
	return scanReview(t.tx.QueryRowContext(ctx, "SELECT "+reviewColumns+" FROM review WHERE call_id = $1", call))
}

// Reviews returns the reviews of calls, by call. Calls that were never queued have none.
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

// Disposition is one recorded result of a review.
type Disposition struct {
	Version     int
	At          time.Time
	Who         string
	Disposition string
	Note        string
}

// DispositionsOf returns the dispositions of a call, oldest first.
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
		return nil, fmt.Errorf("list dispositions of call %s: %w", call, err)
	}
	return list, nil
}
