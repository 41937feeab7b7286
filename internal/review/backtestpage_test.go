package review_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"callscreen/internal/store"
)

// The page shows the effect of another policy: the changes, the calls and the curve, without scripts.
func TestAnotherPolicyIsTried(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	o.say("c3", "caller", 0, 0, 8*time.Second, 0.1)
	o.hangUp("c3", 10*time.Second, "caller")
	o.do("POST", "/api/v1/calls/c1/review", "anna", `{"action":"dispose","version":1,"disposition":"confirmed_synthetic"}`)

	_, page := o.see("/backtest", "anna")
	wants(
		t,
		"the form",
		page,
		`name="threshold" value="0.6"`,
		`name="need" value="1"`,
		`<option selected>review</option>`,
		`name="max_unheard" value="3"`,
		`name="max_unheard_share" value="0.1"`,
		`name="max_lost" value="0.2"`,
		`name="max_paused" value="120"`,
		`name="require_legs" value=""`,
		`href="/backtest" aria-current="page"`,
		"not",
		"Outcome",
	)
	form := url.Values{
		"threshold":     {"0.99"},
		"need":          {"1"},
		"of":            {"0"},
		"clear_below":   {"0.4"},
		"min_coverage":  {"0.5"},
		"rate":          {"0.01"},
		"on_unscreened": {"review"},
	}
	resp, page := o.see("/backtest?"+form.Encode(), "anna")
	wants(
		t,
		"a higher threshold",
		page,
		"1 of 2 calls would change",
		`<a href="/calls/c1">c1</a>`,
		`src="data:image/svg&#43;xml;base64,`,
		"New policy",
		"0.99",
		"Based on 1 confirmed calls",
		"confirmed",
		"not",
		`role="alert"`,
	)
	if resp.StatusCode != 200 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	form.Set("format", "json")
	var r struct {
		Changed int
		Changes []struct{ Call, From, To string }
	}
	_, text := o.see("/backtest?"+form.Encode(), "anna")
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Changed != 1 || r.Changes[0].Call != "c1" || r.Changes[0].From != "flagged" ||
		r.Changes[0].To == "flagged" {
		t.Errorf("%v %s", err, text)
	}
	form.Del("format")
	form.Set("to", "2026-02-28")
	_, page = o.see("/backtest?"+form.Encode(), "anna")
	wants(t, "before any call", page, "0 of 0 calls", "not", "data:image")
	for name, c := range map[string]struct{ key, value, want string }{
		"no number": {"threshold", "high", "Threshold: &#34;high&#34; is not a number"},
		"no policy": {"threshold", "1.5", "must be within 0..1"},
		"no days":   {"from", "yesterday", "From: &#34;yesterday&#34; is not a day"},
		"backwards": {"from", "2026-03-02", "To: is before From"},
		"seconds":   {"max_paused", "-1", "Maximum paused: &#34;-1&#34; is not a number of seconds"},
		"infinite":  {"max_unheard", "Inf", "Maximum unheard: &#34;Inf&#34; is not a number of seconds"},
		"a share":   {"max_lost", "1.5", "must be within 0..1"},
		"no share":  {"max_unheard_share", "much", "Maximum share unheard: &#34;much&#34; is not a number"},
		"twice":     {"require_legs", "caller, caller", "require_legs"},
		"no rate":   {"rate", "1", "must be between 0 and 1"},
		"no word":   {"on_unscreened", "maybe", "on_unscreened"},
		"markup":    {"need", "<script>", "&lt;script&gt;"},
	} {
		f := url.Values{}
		for k, v := range form {
			f[k] = v
		}
		f.Set(c.key, c.value)
		if resp, page := o.see("/backtest?"+f.Encode(), "anna"); resp.StatusCode != 400 || !strings.Contains(page, c.want) ||
			!strings.Contains(page, `role="alert"`) {
			t.Errorf("%s: HTTP %d, no %q", name, resp.StatusCode, c.want)
		}
	}
	if resp, _ := o.see("/backtest", "vera"); resp.StatusCode != 403 {
		t.Errorf("a viewer: HTTP %d", resp.StatusCode)
	}
}

// The rules about the ledger can be tried. Calls without a ledger are named, because these rules do not apply to them.
func TestRulesAboutTheLedgerAreTried(t *testing.T) {
	o := newOffice(t, nil)
	o.say("c1", "caller", 0, 0, 8*time.Second, 0.1)
	p := part("c1")
	p.EndedAt, p.Legs = begun.Add(30*time.Second), []store.LegProgress{heard(p.PartKey, "caller")} // 2 s lost, 5 s paused, 0.6 s unheard
	o.must(o.desk.Progress(t.Context(), p))
	o.say("c2", "caller", 0, 0, 8*time.Second, 0.1)
	o.hangUp("c2", 10*time.Second, "caller")
	base := url.Values{"threshold": {"0.6"}}
	for name, c := range map[string]struct {
		set  map[string]string
		want string
	}{
		"the current policy":  {nil, "0 of 2 calls would change"},
		"less unheard":        {map[string]string{"max_unheard": "0.5", "max_unheard_share": "0.01"}, "1 of 2 calls would change"},
		"either limit":        {map[string]string{"max_unheard": "0.5"}, "0 of 2 calls would change"},
		"less lost":           {map[string]string{"max_lost": "0.05"}, "1 of 2 calls would change"},
		"shorter pauses":      {map[string]string{"max_paused": "4.5"}, "1 of 2 calls would change"},
		"pauses just allowed": {map[string]string{"max_paused": "5"}, "0 of 2 calls would change"},
		"a leg that is there": {map[string]string{"require_legs": "caller"}, "0 of 2 calls would change"},
		"a leg that is not":   {map[string]string{"require_legs": " agent ,"}, "2 of 2 calls would change"},
	} {
		q := url.Values{}
		for k, v := range base {
			q[k] = v
		}
		for k, v := range c.set {
			q.Set(k, v)
		}
		_, page := o.see("/backtest?"+q.Encode(), "anna")
		wants(t, name, page, c.want, "The ledger of 1 call is not known (recorded by an earlier version)")
	}
}
