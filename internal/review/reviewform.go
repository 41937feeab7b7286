package review

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callscreen/internal/store"
)

// conflict is shown to a reviewer whose change came too late.
type conflict struct {
	State, Holder   string
	Until           time.Time
	Said, SaidBy    string
	SaidAt          time.Time
	Note            string
	Wanted, Written string // the rejected change
}

// submitReview handles the review form, which works without scripts. It redirects after a change, so that a reload does
// not repeat the change.
func (s *Server) submitReview(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	if err := r.ParseForm(); err != nil {
		return bad("the form is invalid or too long")
	}
	c := change{Action: r.PostForm.Get("action"), Note: strings.ReplaceAll(r.PostForm.Get("note"), "\r\n", "\n")}
	c.Version, _ = strconv.Atoi(r.PostForm.Get("version")) // 0 is rejected
	if d := r.PostForm.Get("disposition"); d != "" && c.Action == "" {
		c.Action, c.Disposition = store.ReviewDispose, d
	}
	if c.Action != store.ReviewDispose {
		c.Note = "" // it stays in the browser's form
	}
	_, err := s.apply(r, c)
	var no *refused
	if errors.As(err, &no) && no.status == http.StatusConflict {
		return s.showConflict(w, r, no, c)
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, pathOf(r.PathValue("call"))+"?done="+c.Action, http.StatusSeeOther)
	return nil
}

// showConflict shows the change of the faster reviewer.
func (s *Server) showConflict(w http.ResponseWriter, r *http.Request, no *refused, c change) error {
	v := &conflict{Wanted: dispositionWords[c.Disposition], Written: c.Note}
	if now, ok := no.extra["review"].(*reviewReport); ok {
		v.State, v.Holder, v.Said, v.SaidBy, v.Note = now.State, now.Assignee, dispositionWords[now.Disposition], now.ClosedBy, now.Note
		if now.ClosedAt != nil {
			v.SaidAt = *now.ClosedAt
		}
		if now.ClaimedUntil != nil {
			v.Until = *now.ClaimedUntil
		}
	}
	call := r.PathValue("call")
	return s.render(w, r, http.StatusConflict, frame{Title: "The review has changed", Page: "message", Body: message{
		Heading:  "The review has changed",
		Text:     "Your change was not saved, because the review of " + call + " has changed since you opened it.",
		Back:     Link{pathOf(call), "Open the current state"},
		Conflict: v,
	}})
}
