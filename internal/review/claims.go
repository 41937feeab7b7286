package review

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"callscreen/internal/auth"
	"callscreen/internal/store"
)

// claimFor is how long a claim holds: long enough to hear a call, short enough that one who has gone home does not keep
// it from the others.
const claimFor = 10 * time.Minute

const (
	mostBody = 16 << 10
	mostNote = 2000 // characters
)

// reviewReport is where people stand with a call.
type reviewReport struct {
	State        string     `json:"state"` // "waiting" or "closed"
	Version      int        `json:"version"`
	OpenedAt     time.Time  `json:"opened_at"`
	Assignee     string     `json:"assignee"` // who is working on it now
	ClaimedUntil *time.Time `json:"claimed_until,omitempty"`
	Disposition  string     `json:"disposition"`
	Note         string     `json:"note"`
	ClosedBy     string     `json:"closed_by"`
	ClosedAt     *time.Time `json:"closed_at,omitempty"`
}

func reportReview(r store.Review, now time.Time) *reviewReport {
	v := &reviewReport{
		State:       r.State,
		Version:     r.Version,
		OpenedAt:    r.OpenedAt,
		Assignee:    r.ClaimedBy(now),
		Disposition: r.Disposition,
		Note:        r.Note,
		ClosedBy:    r.ClosedBy,
	}
	if v.Assignee != "" {
		v.ClaimedUntil = &r.ClaimedUntil
	}
	if !r.ClosedAt.IsZero() {
		v.ClosedAt = &r.ClosedAt
	}
	return v
}

// change is what a person wants to do with a review.
type change struct {
	Action      string `json:"action"`
	Version     int    `json:"version"`
	Disposition string `json:"disposition"`
	Note        string `json:"note"`
}

// check says what is wrong with a change.
func (c change) check() error {
	switch {
	case !slices.Contains([]string{store.ReviewClaim, store.ReviewRelease, store.ReviewDispose}, c.Action):
		return bad("action is claim, release or dispose")
	case c.Version < 1:
		return bad("version is the one of the review that was seen (hint: GET the call)")
	case c.Action == store.ReviewDispose && !slices.Contains(store.Dispositions, c.Disposition):
		return bad("disposition is " + strings.Join(store.Dispositions, ", "))
	case c.Action != store.ReviewDispose && (c.Disposition != "" || c.Note != ""):
		return bad("a disposition and a note go with the action dispose")
	case !utf8.ValidString(c.Note) || utf8.RuneCountInString(c.Note) > mostNote || strings.ContainsFunc(c.Note, unwritable):
		return bad("a note is text of up to 2000 characters")
	}
	return nil
}

func unwritable(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// review claims a call, releases it, or says what it is.
func (s *Server) review(w http.ResponseWriter, r *http.Request) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return refuse(http.StatusUnsupportedMediaType, "want application/json")
	}
	c, err := readChange(http.MaxBytesReader(w, r.Body, mostBody))
	if err != nil {
		return err
	}
	now, err := s.apply(r, c)
	if err != nil {
		return err
	}
	return answer(w, struct {
		Call   string        `json:"call"`
		Review *reviewReport `json:"review"`
	}{r.PathValue("call"), now})
}

func readChange(body io.Reader) (c change, err error) {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil || d.More() {
		return c, bad(`want {"action": "claim|release|dispose", "version": N, "disposition": "...", "note": "..."}`)
	}
	return c, nil
}

// apply makes a change in the name of whoever asks for it.
func (s *Server) apply(r *http.Request, c change) (*reviewReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	call, now := r.PathValue("call"), s.cfg.Now()
	done, err := s.cfg.Store.ChangeReview(r.Context(), store.ReviewChange{
		Call:        call,
		Action:      c.Action,
		Who:         auth.Who(r.Context()),
		Version:     c.Version,
		Override:    auth.May(r.Context(), "admin"),
		Disposition: c.Disposition,
		Note:        c.Note,
		Lease:       claimFor,
		At:          now,
	})
	var conflict *store.ReviewConflict
	switch {
	case errors.As(err, &conflict):
		return nil, &refused{
			http.StatusConflict,
			conflict.Why,
			map[string]any{"version": conflict.Current.Version, "review": reportReview(conflict.Current, now)},
		}
	case errors.Is(err, store.ErrNoReview):
		return nil, refuse(http.StatusNotFound, err.Error())
	case err != nil:
		return nil, err
	}
	s.cfg.Board.Changed(call)
	return reportReview(done, now), nil
}
