package review

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"callscreen/internal/store"
)

// conflict is what a person sees who was not the first.
type conflict struct {
	State, Holder   string
	Until           time.Time
	Said, SaidBy    string
	SaidAt          time.Time
	Note            string
	Wanted, Written string // what was not kept
}

// submitReview takes the form of a call's page, which works without scripts. What was done is shown by another page, so
// that loading that again does nothing.
func (s *Server) submitReview(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, mostBody)
	if err := r.ParseForm(); err != nil {
		return bad("the form cannot be read, or is too long")
	}
	c := change{Action: r.PostForm.Get("action"), Note: strings.ReplaceAll(r.PostForm.Get("note"), "\r\n", "\n")}
	c.Version, _ = strconv.Atoi(r.PostForm.Get("version")) // 0 is refused
	if d := r.PostForm.Get("disposition"); d != "" && c.Action == "" {
		c.Action, c.Disposition = store.ReviewDispose, d
	}
	if c.Action != store.ReviewDispose {
		c.Note = "" // it stays in the form of the browser
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

// showConflict shows the decision of whoever was faster.
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
	return s.render(w, r, http.StatusConflict, frame{Title: "Somebody was faster", Page: "message", Body: message{
		Heading:  "Somebody was faster",
		Text:     "What you entered was not kept, because the review of " + call + " has changed since you opened it.",
		Back:     Link{pathOf(call), "Open the call as it is now"},
		Conflict: v,
	}})
}
