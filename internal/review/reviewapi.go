package review

import (
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
	"callscreen/internal/problem"
	"callscreen/internal/store"
)

// claimFor is the duration of a claim: long enough to hear a call, short enough to free the call if its holder leaves.
const claimFor = 10 * time.Minute

const (
	mostBody = 16 << 10
	mostNote = 2000 // characters
)

// reviewReport is the state of a review.
type reviewReport struct {
	State        string     `json:"state"` // "waiting" or "closed"
	Version      int        `json:"version"`
	OpenedAt     time.Time  `json:"opened_at"`
	Assignee     string     `json:"assignee"` // current holder of the claim
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

// change is a requested change of a review.
type change struct {
	Action      string `json:"action"`
	Version     int    `json:"version"`
	Disposition string `json:"disposition"`
	Note        string `json:"note"`
}

// check returns an error if a change is invalid.
func (c change) check() error {
	switch {
	case !slices.Contains([]string{store.ReviewClaim, store.ReviewRelease, store.ReviewDispose}, c.Action):
		return bad("action must be claim, release or dispose")
	case c.Version < 1:
		return bad("version must be the version of the review (hint: GET the call)")
	case c.Action == store.ReviewDispose && !slices.Contains(store.Dispositions, c.Disposition):
		return bad("disposition must be one of " + strings.Join(store.Dispositions, ", "))
	case c.Action != store.ReviewDispose && (c.Disposition != "" || c.Note != ""):
		return bad("disposition and note need the action dispose")
	case !utf8.ValidString(c.Note) || utf8.RuneCountInString(c.Note) > mostNote || strings.ContainsFunc(c.Note, unwritable):
		return bad("note must be text of at most 2000 characters")
	}
	return nil
}

func unwritable(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }

// review claims a call, releases it, or sets its disposition.
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
	if err := problem.DecodeJSON(body, &c); err != nil {
		return c, bad(`want {"action": "claim|release|dispose", "version": N, "disposition": "...", "note": "..."}`)
	}
	return c, nil
}

// apply makes a change in the name of the sender.
func (s *Server) apply(r *http.Request, c change) (*reviewReport, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	call, now := r.PathValue("call"), s.cfg.Now()
	done, err := s.cfg.Store.ChangeReview(r.Context(), store.ReviewChange{
		Call:        call,
		Action:      c.Action,
		Who:         auth.Actor(r.Context()),
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
