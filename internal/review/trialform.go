package review

import (
	"cmp"
	"errors"
	"net/url"
	"strconv"
	"strings"
	"time"

	"callscreen/internal/store"
	"callscreen/policy"
)

// trialForm holds the fields of the form as entered.
type trialForm struct {
	Threshold, Need, Of, ClearBelow, MinCoverage, Rate string
	OnUnscreened                                       string
	From, To                                           string
	SkipSimulated                                      bool
	MaxUnheard, MaxPaused                              string // in seconds
	MaxUnheardShare, MaxLost                           string
	RequireLegs                                        string // separated by commas
}

// Unscreened returns the values of on_unscreened.
func (trialView) Unscreened() []string { return []string{string(policy.Review), string(policy.Clear)} }

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
		case string:
			return v
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

		MaxUnheard:      text("max_unheard", p.MaxUnheard.Absolute.Seconds()),
		MaxUnheardShare: text("max_unheard_share", p.MaxUnheard.Share),
		MaxLost:         text("max_lost", p.MaxLost),
		MaxPaused:       text("max_paused", p.MaxPaused.Seconds()),
		RequireLegs:     text("require_legs", strings.Join(p.RequireLegs, ", ")),
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
		{"Maximum share unheard", f.MaxUnheardShare, &p.MaxUnheard.Share, nil},
		{"Maximum share lost", f.MaxLost, &p.MaxLost, nil},
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
	for _, field := range []struct {
		name, text string
		to         *time.Duration
	}{
		{"Maximum unheard", f.MaxUnheard, &p.MaxUnheard.Absolute},
		{"Maximum paused", f.MaxPaused, &p.MaxPaused},
	} {
		if *field.to, err = secondsOf(field.text); err != nil {
			return p, w, 0, bad(field.name + ": " + err.Error())
		}
	}
	p.RequireLegs = namesOf(f.RequireLegs)
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

// secondsOf parses a number of seconds from 0 to a day.
func secondsOf(text string) (time.Duration, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 86400) {
		return 0, errors.New(strconv.Quote(text) + " is not a number of seconds from 0 to 86400")
	}
	return time.Duration(n * float64(time.Second)), nil
}

// namesOf splits names at commas, nil if there are none.
func namesOf(text string) (names []string) {
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}
