package review

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callscreen/internal/backtest"
	"callscreen/internal/screen"
	"callscreen/internal/store"
	"callscreen/policy"
)

// trialView is the data of the backtest page.
type trialView struct {
	Form      trialForm
	Overrides int    // number of overrides of the current policy, which apply to the new one too
	Problem   string // error of the form
	Result    *backtest.Result
	Rows      []trialRow
	Changes   []trialChange
	Curve     template.URL // chart as data URL
	Took      time.Duration
	JSON      string // URL of the result as JSON
}

// trialForm holds the fields of the form as entered.
type trialForm struct {
	Threshold, Need, Of, ClearBelow, MinCoverage, Rate string
	OnUnscreened                                       string
	From, To                                           string
	SkipSimulated                                      bool
}

// Unscreened returns the values of on_unscreened.
func (trialView) Unscreened() []string { return []string{string(policy.Review), string(policy.Clear)} }

type trialRow struct {
	Name, Threshold                     string
	Flagged, Inconclusive, Clear, Alone int // Alone: queued for review
	Precision, Recall, Alarms           string
}

type trialChange struct{ Call, Href, From, Current, To, Disposition string }

// trialsAtATime limits concurrent backtests, so that they do not take processor time from recording.
const (
	trialsAtATime = 1
	trialsShown   = 50
)

// trial shows the effect of another policy. It does not use the analysis API and changes nothing.
func (s *Server) trial(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	v := trialView{Form: s.trialForm(q), Overrides: len(s.cfg.Decider.Policy().Overrides)}
	if !q.Has("threshold") {
		return s.renderTrial(w, r, http.StatusOK, v)
	}
	proposed, window, rate, err := s.readTrial(v.Form)
	if err != nil {
		v.Problem = err.Error()
		return s.renderTrial(w, r, http.StatusBadRequest, v)
	}
	select {
	case s.trials <- struct{}{}:
		defer func() { <-s.trials }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	start := time.Now()
	result, err := screen.Backtest(r.Context(), s.cfg.Store, window, backtest.Options{
		Current:        s.cfg.Decider.Policy(),
		New:            proposed,
		FalseAlarmRate: rate,
		Show:           trialsShown,
		SkipSimulated:  v.Form.SkipSimulated,
	})
	if err != nil {
		return err
	}
	if q.Get("format") == "json" {
		return answer(w, result)
	}
	v.Took = time.Since(start).Round(time.Millisecond)
	if err := v.show(result); err != nil {
		return err
	}
	q.Set("format", "json")
	v.JSON = "/backtest?" + q.Encode()
	return s.renderTrial(w, r, http.StatusOK, v)
}

func (s *Server) renderTrial(w http.ResponseWriter, r *http.Request, status int, v trialView) error {
	made := v.Result != nil && v.Result.Simulated > v.Result.Skipped
	return s.render(w, r, status, frame{
		Title:     "Backtest",
		Page:      "trial",
		Tab:       trialPath,
		Simulated: made,
		Body:      v,
	})
}

const trialPath = "/backtest"

// trialForm returns the form. Empty fields have the values of the current policy.
func (s *Server) trialForm(q url.Values) trialForm {
	p := s.cfg.Decider.Policy()
	text := func(name string, v any) string {
		if q.Has(name) {
			return strings.TrimSpace(q.Get(name))
		}
		switch v := v.(type) {
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		case int:
			return strconv.Itoa(v)
		}
		return ""
	}
	return trialForm{
		Threshold:     text("threshold", p.Threshold),
		Need:          text("need", p.Need),
		Of:            text("of", p.Of),
		ClearBelow:    text("clear_below", p.ClearBelow),
		MinCoverage:   text("min_coverage", p.MinCoverage),
		Rate:          text("rate", 0.01),
		OnUnscreened:  cmp.Or(q.Get("on_unscreened"), string(p.OnUnscreened)),
		From:          text("from", ""),
		To:            text("to", ""),
		SkipSimulated: q.Has("skip_simulated"),
	}
}

// readTrial parses the form: a policy based on the current one, the days, and the rate.
func (s *Server) readTrial(f trialForm) (p policy.Policy, w store.Window, rate float64, err error) {
	p = s.cfg.Decider.Policy()
	for _, field := range []struct {
		name, text string
		float      *float64
		whole      *int
	}{
		{"Threshold", f.Threshold, &p.Threshold, nil},
		{"Clear below", f.ClearBelow, &p.ClearBelow, nil},
		{"Least coverage", f.MinCoverage, &p.MinCoverage, nil},
		{"Scores over the threshold", f.Need, nil, &p.Need},
		{"Within segments", f.Of, nil, &p.Of},
		{"False-alarm rate", f.Rate, &rate, nil},
	} {
		var err error
		if field.float != nil {
			*field.float, err = strconv.ParseFloat(field.text, 64)
		} else {
			*field.whole, err = strconv.Atoi(field.text)
		}
		if err != nil {
			return p, w, 0, bad(field.name + ": " + strconv.Quote(field.text) + " is not a number")
		}
	}
	p.OnUnscreened = policy.Unscreened(f.OnUnscreened)
	if err := p.Validate(); err != nil {
		return p, w, 0, bad(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	if !(rate > 0 && rate < 1) {
		return p, w, 0, bad("False-alarm rate: must be between 0 and 1, such as 0.01")
	}
	for _, day := range []struct {
		name, text string
		at         *time.Time
		more       int
	}{{"From", f.From, &w.From, 0}, {"To", f.To, &w.To, 1}} {
		if day.text == "" {
			continue
		}
		at, err := time.Parse(time.DateOnly, day.text)
		if err != nil {
			return p, w, 0, bad(day.name + ": " + strconv.Quote(day.text) + " is not a day such as 2026-01-31")
		}
		*day.at = at.AddDate(0, 0, day.more) // the last day is included completely
	}
	if !w.From.IsZero() && !w.To.IsZero() && !w.From.Before(w.To) {
		return p, w, 0, bad("To: is before From")
	}
	return p, w, rate, nil
}

// show converts a result to the texts of the page.
func (v *trialView) show(r backtest.Result) error {
	v.Result = &r
	row := func(name, threshold string, o backtest.Outcomes) trialRow {
		return trialRow{
			Name:         name,
			Threshold:    threshold,
			Flagged:      o.Flagged,
			Inconclusive: o.Inconclusive,
			Clear:        o.Clear,
			Alone:        o.Review,
		}
	}
	v.Rows = append(v.Rows, row("Stored decision", "", r.Decided))
	for _, side := range []struct {
		name string
		backtest.Side
	}{{"Current policy", r.Current}, {"New policy", r.New}} {
		one := row(side.name, strconv.FormatFloat(side.Threshold, 'f', -1, 64), side.Outcomes)
		one.Precision, one.Recall, one.Alarms = side.Precision.String(), side.Recall.String(), side.FalseAlarmRate.String()
		v.Rows = append(v.Rows, one)
	}
	for _, c := range r.Changes {
		v.Changes = append(v.Changes, trialChange{
			Call:        c.Call,
			Href:        pathOf(c.Call),
			From:        c.From,
			Current:     c.Current,
			To:          c.To,
			Disposition: dispositionWords[c.Disposition],
		})
	}
	if r.Calls == 0 {
		return nil
	}
	var b bytes.Buffer
	if err := backtest.WriteSVG(&b, r); err != nil {
		return err
	}
	picture := base64.StdEncoding.EncodeToString(b.Bytes())
	v.Curve = template.URL("data:image/svg+xml;base64," + picture) //nolint:gosec // generated by this program
	return nil
}
