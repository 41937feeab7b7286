package whep

import (
	"net/url"
	"strings"
	"testing"

	"callscreen/internal/testkit"
)

// A source of a leg is refused unless it is a web address without credentials.
func FuzzSource(f *testing.F) {
	f.Add(`{"url":"https://media.example.com/whep/1","token":"x"}`)
	f.Add(`{"url":"http://u:p@h/","token":5}`)
	f.Add(`{"url":"http://[::1%25eth0]:80/"}`)
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 16<<10 {
			return // cut off
		}
		defer testkit.Bounded(t)()
		s, err := readSource(strings.NewReader(body))
		if err != nil {
			return
		}
		if u, err := url.Parse(s.URL); err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
			t.Errorf("%q", s.URL)
		}
	})
}
