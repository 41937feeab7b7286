package intake

import (
	"strings"
	"testing"

	"callscreen/internal/testkit"
)

// The names and the metadata that a sender announces are short and printable, or refused.
func FuzzDescribe(f *testing.F) {
	f.Add("call", "caller", "queue=payments&from=%2B4930&channels=caller,agent")
	f.Add("..", "a/b", "%zz&;=&a=%00")
	f.Fuzz(func(t *testing.T, call, leg, query string) {
		if len(query) > 64<<10 {
			return // the server takes no longer lines
		}
		defer testkit.Bounded(t)()
		r, err := Describe(call, leg, query)
		if err != nil {
			return
		}
		if !ValidName(r.Call) || !ValidName(r.Leg) || len(r.Metadata) > maxParameters || len(r.Channels) != 0 && len(r.Channels) != 2 {
			t.Errorf("%+v", r)
		}
		for k, v := range r.Metadata {
			if !ValidName(k) || len(v) > maxValue || strings.ContainsFunc(v, unprintable) {
				t.Errorf("%q: %q", k, v)
			}
		}
	})
}
