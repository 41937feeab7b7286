package review

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"callscreen/internal/testkit"
)

// Invariant: every body is rejected, or is a valid change of a review.
func FuzzReviewBody(f *testing.F) {
	f.Add(`{"action":"dispose","version":3,"disposition":"confirmed","note":"heard it"}`)
	f.Add(`{"action":"claim","version":1} {}`)
	f.Add(`[[[[[[`)
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > mostBody {
			return // cut off
		}
		defer testkit.Bounded(t)()
		c, err := readChange(strings.NewReader(body))
		if err != nil || c.check() != nil {
			return
		}
		if c.Version < 1 || !utf8.ValidString(c.Note) || utf8.RuneCountInString(c.Note) > mostNote || strings.ContainsAny(c.Note, "\x00\x1b") {
			t.Errorf("%+v", c)
		}
	})
}

// Invariant: every query is rejected, or is within the limits, and an accepted cursor can be encoded again.
func FuzzCallsQuery(f *testing.F) {
	f.Add("decision=flagged&state=ended&review=waiting&q=x&cursor=eyJBdCI6MSwiSUQiOiJ4In0")
	f.Add("%zz&q=%00&cursor=AAAA")
	f.Fuzz(func(t *testing.T, query string) {
		if len(query) > 64<<10 {
			return // the server takes no longer lines
		}
		defer testkit.Bounded(t)()
		got, err := filter(&http.Request{URL: &url.URL{RawQuery: query}})
		if err != nil {
			return
		}
		if len(got.Query) > 200 || got.Limit != pageSize {
			t.Errorf("%+v", got)
		}
		if got.Before != nil && cursor(got.Before) == "" {
			t.Errorf("%+v cannot be given again", got.Before)
		}
	})
}
