package review

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"callscreen/internal/report"
	"callscreen/internal/store"
)

// Tabs of the list.
const (
	tabWaiting    = "waiting"
	tabUnscreened = "unscreened"
	tabAll        = "all"
)

const listSize = 50

// listView is the data of a list page.
type listView struct {
	Tab, Query      string
	Decision, State string
	Rows            []row
	Newest, Next    string // URLs; "" without such a page
	Searching       bool
}

// row is one call of a list.
type row struct {
	Call, Href     string
	Metadata       []pair
	StartedAt      time.Time
	Duration       report.Seconds
	Live           bool
	Nth            string // "2nd" for the second call with this id, "" for the first
	Word, Class    string // text and style of the decision
	Score          *float64
	Threshold      float64
	Over           bool
	ScoreX, LimitX string // positions on the meter, in percent
	Coverage       string
	Why            []string
	Review         string // review state as text
	ReviewClass    string
	Simulated      bool
}

type pair struct{ Key, Value string }

func sorted(m map[string]string) (list []pair) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, pair{k, m[k]})
	}
	return list
}

// listFilter parses the query of a list page.
func listFilter(r *http.Request) (v listView, f store.Filter, err error) {
	if f, err = filter(r); err != nil {
		return v, f, err
	}
	f.Limit, f.Review = listSize, ""
	v = listView{Tab: cmp.Or(r.URL.Query().Get("tab"), tabWaiting), Query: f.Query}
	switch v.Tab {
	case tabWaiting:
		f.Review, f.Decision, f.State = store.ReviewWaiting, "", ""
	case tabUnscreened:
		f.Unscreened, f.Decision, f.State = true, "", ""
	case tabAll:
		v.Decision, v.State = f.Decision, f.State
	default:
		return v, f, bad("tab must be waiting, unscreened or all")
	}
	v.Searching = v.Query != "" || v.Decision != "" || v.State != ""
	return v, f, nil
}

// address returns the URL of this list from another cursor.
func (v listView) address(at string) string {
	q := url.Values{"tab": {v.Tab}}
	for k, s := range map[string]string{"q": v.Query, "decision": v.Decision, "state": v.State, "cursor": at} {
		if s != "" {
			q.Set(k, s)
		}
	}
	return "/?" + q.Encode()
}

// listPage shows a list of calls.
func (s *Server) listPage(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	v, f, err := listFilter(r)
	if err != nil {
		return err
	}
	after, err := s.cfg.Store.AuditHead(ctx) // read before the calls, so that no event is missed
	if err != nil {
		return err
	}
	calls, next, err := s.cfg.Decider.Summaries(ctx, f)
	if err != nil {
		return err
	}
	ids := make([]string, len(calls))
	for i, c := range calls {
		ids[i] = c.Call
	}
	reviews, err := s.cfg.Store.Reviews(ctx, ids...)
	if err != nil {
		return err
	}
	now, made := s.cfg.Now(), false
	for _, c := range calls {
		one := rowOf(c, now)
		if rev, ok := reviews[c.Call]; ok {
			one.Review, one.ReviewClass = reviewWords(rev, now)
		}
		v.Rows = append(v.Rows, one)
		made = made || c.Simulated
	}
	if f.Before != nil {
		v.Newest = v.address("")
	}
	if next != nil {
		v.Next = v.address(cursor(next))
	}
	title := map[string]string{tabWaiting: "Waiting for review", tabUnscreened: "Unscreened calls", tabAll: "All calls"}[v.Tab]
	return s.render(w, r, http.StatusOK, frame{
		Title:     title,
		Page:      "list",
		Tab:       v.Tab,
		Simulated: made,
		After:     after,
		Body:      v,
	})
}

func rowOf(c report.CallReport, now time.Time) row {
	v := row{
		Call:      c.Call,
		Href:      pathOf(c.Call),
		Metadata:  sorted(c.Metadata),
		StartedAt: c.StartedAt,
		Duration:  c.Duration,
		Live:      c.State == store.CallLive,
		Score:     c.Score,
		Threshold: c.Threshold,
		Coverage:  coverage(c.Speech, c.Analysed),
		Simulated: c.Simulated,
	}
	v.Word, v.Class = verdict(c)
	if c.Number > 1 {
		v.Nth = ordinal(c.Number)
	}
	if v.Live { // the stored duration of a live call is not current
		v.Duration = max(v.Duration, report.Seconds(now.Sub(c.StartedAt)))
		if c.Speech == 0 {
			v.Coverage = "–"
		}
	}
	if c.Score != nil {
		v.Over = *c.Score > c.Threshold
		v.ScoreX, v.LimitX = percent(*c.Score), percent(c.Threshold)
	}
	for _, l := range c.Legs {
		if l.Score != nil && *l.Score > l.Threshold {
			v.Why = append(v.Why, fmt.Sprintf("%s is over %.2f", l.Leg, l.Threshold))
		}
	}
	if v.Class != "pending" {
		v.Why = append(v.Why, whyInWords(c.Reasons)...)
	}
	return v
}

// Decisions and States are the values of the search form.
func (v listView) Decisions() []string { return []string{"flagged", "inconclusive", "clear"} }
func (v listView) States() []string    { return []string{store.CallLive, store.CallEnded} }

// WhyText returns the reasons in one sentence.
func (v row) WhyText() string { return strings.Join(v.Why, "; ") }
