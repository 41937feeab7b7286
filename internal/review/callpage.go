package review

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"callscreen/internal/auth"
	"callscreen/internal/report"
	"callscreen/internal/store"
)

// callView is the data of a call's page.
type callView struct {
	report.CallReport
	Href        string
	Word, Class string
	Verdict     string   // in a sentence
	Coverage    string   // in a sentence
	Reasons     []string // in words
	Metadata    []pair
	Timeline    timeline
	Ledger      ledgerView
	Nth         string // "2nd" for the second call with this id, "" for the first
	Segments    []segmentRow
	Playable    bool   // at least one segment has audio
	Gone        string // reason why there is no audio, or ""
	Review      *reviewView
	Story       []storyLine
	Rest        []storyLine // audit lines of segments
	Done        string      // confirmation of the last action
	NextHref    string      // next call that waits for review
	ToList      bool        // no other call waits
}

// segmentRow is one row of the segment table.
type segmentRow struct {
	ID, Leg             string
	At, Length, Speech  report.Seconds
	Kind                string // as in the timeline
	Score               *float64
	What                string // reason of a missing score, or remarks
	Href                string // URL of the audio, or ""
	SHA256              string
	DeletedAt           time.Time
	OffsetText, EndText string // in seconds, for the player
	Pieces              string // places of a packed segment, for the player
}

// reviewView is the state of the review, and the actions open to the user.
type reviewView struct {
	Version      int
	Waiting      bool
	OpenedAt     time.Time
	Holder       string // holder of the claim
	Mine         bool
	Until        time.Time
	Said, SaidBy string // last disposition
	SaidAt       time.Time
	Note         string
	May          bool // may claim and dispose
	MayTake      bool // may release a claim of another user
	Action       string
	Choices      []choice
}

type choice struct{ Value, Words, Key string }

// choices returns the dispositions with their keys.
func choices() (list []choice) {
	for i, d := range store.Dispositions {
		list = append(list, choice{d, dispositionWords[d], fmt.Sprint(i + 1)})
	}
	return list
}

// showCall shows the page of a call.
func (s *Server) showCall(w http.ResponseWriter, r *http.Request) error {
	after, err := s.cfg.Store.AuditHead(r.Context()) // read before the call, so that no event is missed
	if err != nil {
		return err
	}
	v, err := s.viewCall(r.Context(), r.PathValue("call"))
	if err != nil {
		return err
	}
	switch done := r.URL.Query().Get("done"); done {
	case store.ReviewClaim, store.ReviewRelease, store.ReviewDispose:
		v.Done = map[string]string{
			store.ReviewClaim:   "You have claimed this call for ten minutes.",
			store.ReviewRelease: "You have released this call.",
			store.ReviewDispose: "Your decision is saved.",
		}[done]
		if done != store.ReviewClaim {
			next, err := s.cfg.Store.NextWaiting(r.Context(), s.cfg.Now(), auth.Actor(r.Context()), v.Call)
			if err != nil {
				return err
			}
			if v.ToList = next == ""; !v.ToList {
				v.NextHref = pathOf(next)
			}
		}
	}
	return s.render(w, r, http.StatusOK, frame{
		Title:     v.Call,
		Page:      "call",
		Simulated: v.Simulated,
		After:     after,
		Body:      v,
	})
}

func (s *Server) viewCall(ctx context.Context, call string) (v callView, err error) {
	if v.CallReport, err = s.Report(ctx, call); err != nil {
		return v, err
	}
	segments, err := s.cfg.Store.Segments(ctx, call)
	if err != nil {
		return v, err
	}
	parts, err := s.cfg.Store.PartsOf(ctx, call)
	if err != nil {
		return v, err
	}
	v.Href, v.Metadata = pathOf(v.Call), sorted(v.CallReport.Metadata)
	v.Word, v.Class = verdict(v.CallReport)
	v.Verdict, v.Coverage, v.Reasons = verdictSentence(v.CallReport), coverageSentence(v.CallReport), whyInWords(v.CallReport.Reasons)
	v.Timeline, v.Ledger = newTimeline(v.CallReport, segments, parts), newLedgerView(v.CallReport)
	if v.Number > 1 {
		v.Nth = ordinal(v.Number)
	}
	numbers := map[store.PartKey]int{}
	for _, p := range parts {
		numbers[p.PartKey] = p.Number
	}
	thresholds := map[string]float64{}
	for _, l := range v.Legs {
		thresholds[l.Leg] = l.Threshold
	}
	var had int
	var deleted time.Time
	for _, g := range segments {
		row := rowOfSegment(g, shift(v.StartedAt, g.PartKey), thresholds[g.Leg])
		if n := numbers[g.PartKey]; v.Number > 1 && n < v.Number {
			row.note("of the " + ordinal(max(n, 1)) + " call with this id")
		}
		v.Segments = append(v.Segments, row)
		v.Playable = v.Playable || row.Href != ""
		if !g.AudioDeletedAt.IsZero() {
			had++
			deleted = g.AudioDeletedAt
		}
	}
	if had > 0 && !v.Playable {
		v.Gone = "The audio was deleted on " + deleted.UTC().
			Format("2006-01-02 15:04 UTC") +
			", as configured by retention. The hash of each segment is kept, so that a copy elsewhere can be verified."
	}
	if v.Review, err = s.viewReview(ctx, v.Call); err != nil {
		return v, err
	}
	v.Story, v.Rest, err = s.story(ctx, v.Call)
	return v, err
}

func verdictSentence(r report.CallReport) string {
	for _, l := range r.Legs {
		if l.Score != nil && *l.Score > l.Threshold && l.Decision == "flagged" {
			return fmt.Sprintf("%s reached a score of %s, over the threshold of %.2f.", l.Leg, scoreText(l.Score), l.Threshold)
		}
	}
	if r.Score != nil {
		return fmt.Sprintf("The highest score is %s, the threshold %.2f.", scoreText(r.Score), r.Threshold)
	}
	return "No segment has a score."
}

// coverageSentence returns how much of a call was analysed, in the terms of the reports.
func coverageSentence(r report.CallReport) string {
	text := "No speech was heard."
	if r.Speech > 0 {
		text = fmt.Sprintf("Analysed %s of %s of speech.", secondsText(r.Analysed), secondsText(r.Speech))
	}
	for _, missing := range []struct {
		words string
		of    func(report.LegReport) report.Seconds
	}{
		{"lost", func(l report.LegReport) report.Seconds { return l.Lost }},
		{"not recorded", func(l report.LegReport) report.Seconds { return l.Unrecorded }},
		{"not read", func(l report.LegReport) report.Seconds { return l.Unread }},
		{"paused", func(l report.LegReport) report.Seconds { return l.Paused }},
	} {
		var legs []string
		for _, l := range r.Legs {
			if d := missing.of(l); d > 0 {
				legs = append(legs, secondsText(d)+" of "+l.Leg)
			}
		}
		if len(legs) > 0 {
			text += " " + strings.Join(legs, " and ") + " " + missing.words + "."
		}
	}
	return text
}

func rowOfSegment(g store.SegmentRow, shift time.Duration, threshold float64) segmentRow {
	places := placesOf(g, shift)
	from := places[0].from
	v := segmentRow{
		ID:         g.ID,
		Leg:        g.Leg,
		At:         report.Seconds(from),
		Length:     report.Seconds(g.Duration),
		Speech:     report.Seconds(g.Speech),
		Score:      g.Score,
		SHA256:     g.AudioSHA256,
		DeletedAt:  g.AudioDeletedAt,
		OffsetText: fmt.Sprintf("%.3f", from.Seconds()),
		EndText:    fmt.Sprintf("%.3f", places[len(places)-1].to.Seconds()),
		Pieces:     piecesText(places),
	}
	var notes []string
	switch {
	case g.Score != nil && *g.Score > threshold:
		v.Kind = "over"
	case g.Score != nil:
		v.Kind = "under"
	case g.State == store.SegmentFailed:
		v.Kind, notes = "failed", append(notes, "Not analysed: "+inWords(g.Reason))
	case g.State == store.SegmentSkipped:
		v.Kind, notes = "skipped", append(notes, "Skipped: "+inWords(g.Reason))
	case g.Held():
		v.Kind, notes = "failed", append(notes, "Waits for a person: "+inWords(g.Reason))
	default:
		v.Kind, notes = "open", append(notes, "Being analysed")
	}
	if packed := packedText(places); packed != "" {
		notes = append(notes, packed)
	}
	if g.Lost > 0 {
		notes = append(notes, secondsText(report.Seconds(g.Lost))+" lost")
	}
	if g.Cleaned && g.Score != nil {
		notes = append(notes, "scored with a cleaned copy")
	}
	if g.Resent > 0 {
		notes = append(notes, "sent twice")
	}
	v.What = strings.Join(notes, "; ")
	if g.AudioKey != "" {
		v.Href = "/api/v1/segments/" + g.ID + "/audio"
	}
	return v
}

// note adds a remark to the row.
func (v *segmentRow) note(text string) {
	if v.What != "" {
		text = v.What + "; " + text
	}
	v.What = text
}

func (s *Server) viewReview(ctx context.Context, call string) (*reviewView, error) {
	found, err := s.cfg.Store.Reviews(ctx, call)
	if err != nil {
		return nil, err
	}
	r, ok := found[call]
	if !ok {
		return nil, nil //nolint:nilnil // no review
	}
	v := &reviewView{
		Version:  r.Version,
		Waiting:  r.State == store.ReviewWaiting,
		OpenedAt: r.OpenedAt,
		Holder:   r.ClaimedBy(s.cfg.Now()),
		Until:    r.ClaimedUntil,
		Said:     dispositionWords[r.Disposition],
		SaidBy:   r.ClosedBy,
		SaidAt:   r.ClosedAt,
		Note:     r.Note,
		May:      auth.May(ctx, "reviewer"),
		Action:   pathOf(call) + "/review",
		Choices:  choices(),
	}
	v.Mine = v.Holder != "" && v.Holder == auth.Actor(ctx)
	v.MayTake = v.Holder != "" && !v.Mine && auth.May(ctx, "admin")
	return v, nil
}
