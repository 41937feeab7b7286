package review_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callscreen/internal/review"
)

// see requests a page as a browser does, with a token instead of a session.
func (o *office) see(path, token string) (reply, string) {
	o.t.Helper()
	resp, _, body := o.do("GET", path, token, "", "Accept", "text/html")
	return resp, body
}

// submit sends a form.
func (o *office) submit(path, token string, fields ...string) (reply, string) {
	o.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	resp, _, body := o.do(
		"POST",
		path,
		token,
		form.Encode(),
		"Accept",
		"text/html",
		"Content-Type",
		"application/x-www-form-urlencoded",
		"Sec-Fetch-Site",
		"same-origin",
	)
	return resp, body
}

// wants checks that a page contains texts, and does not contain the text after each "not".
func wants(t *testing.T, what, page string, texts ...string) {
	t.Helper()
	plain := strings.Join(strings.Fields(page), " ")
	for i, text := range texts {
		if not := i > 0 && texts[i-1] == "not"; text != "not" && strings.Contains(plain, text) == not {
			t.Errorf("%s: %q is there: %v", what, text, not)
		}
	}
}

func TestTheListsOfPeople(t *testing.T) {
	o := newOffice(t, nil)
	_, page := o.see("/", "vera")
	wants(
		t,
		"nothing yet",
		page,
		"No call is waiting.",
		`<span class="count" id="count-waiting">0</span>`,
		`<a href="/backtest">Backtest</a>`,
		"not",
		"Simulated:",
	)
	o.flagged("c1")
	o.say("c2", "caller", 0, 0, 8*time.Second, -1)
	o.hangUp("c2", 10*time.Second, "caller")
	o.say("c3", "caller", 0, 0, 8*time.Second, 0.1)
	o.hangUp("c3", 10*time.Second, "caller")
	o.must(o.desk.Progress(t.Context(), part("c4")))
	o.do("POST", "/api/v1/calls/c1/review", "anna", `{"action":"claim","version":1}`)

	_, page = o.see("/", "vera")
	wants(
		t,
		"waiting",
		page,
		`id="count-waiting">2</span>`,
		"1 live",
		`href="/calls/c1"`,
		"caller is over 0.60",
		"With reviewer",
		"Waiting under a minute",
		`href="/calls/c2"`,
		"the analysis was not finished in time",
		"<strong>Simulated:</strong> the stand-in detects nothing",
		"14 s of 14 s",
		"not",
		`href="/calls/c3"`,
		"not",
		`href="/calls/c4"`,
	)
	_, page = o.see("/?tab=unscreened", "vera")
	wants(t, "unscreened", page, "Unscreened", `href="/calls/c2"`, "Inconclusive", "not", `href="/calls/c1"`, "not", `href="/calls/c4"`)
	_, page = o.see("/?tab=all", "vera")
	wants(t, "all", page, `href="/calls/c1"`, `href="/calls/c2"`, `href="/calls/c3"`, `href="/calls/c4"`, "Nothing analysed yet")
	_, page = o.see("/?tab=all&decision=clear&state=ended&q=PAYM", "vera")
	wants(
		t,
		"searched",
		page,
		`href="/calls/c3"`,
		`value="PAYM"`,
		"<option selected>clear</option>",
		"<option selected>ended</option>",
		"not",
		`href="/calls/c1"`,
	)
	_, page = o.see("/?q=nothing-like-it", "vera")
	wants(t, "nothing found", page, "No call matches the search.")
	for _, bad := range []string{"/?tab=x", "/?tab=all&decision=x", "/?cursor=x"} {
		if resp, page := o.see(bad, "vera"); resp.StatusCode != 400 || !strings.Contains(page, "<h1>Bad Request</h1>") {
			t.Errorf("%s: HTTP %d %s", bad, resp.StatusCode, page)
		}
	}
}

func TestAListHasPages(t *testing.T) {
	o := newOffice(t, nil)
	for i := range 120 {
		p := part(fmt.Sprintf("c%03d", i))
		p.Part += int64(i) * 1000
		o.must(o.desk.Progress(t.Context(), p))
	}
	row, older := regexp.MustCompile(`href="/calls/(c\d+)"`), regexp.MustCompile(`<a href="([^"]*)" rel="next">`)
	var got []string
	at := "/?tab=all"
	for range 3 {
		_, page := o.see(at, "vera")
		for _, m := range row.FindAllStringSubmatch(page, -1) {
			got = append(got, m[1])
		}
		m := older.FindStringSubmatch(page)
		if m == nil {
			wants(t, "the last page", page, `href="/?tab=all">Newest</a>`)
			break
		}
		at = strings.ReplaceAll(m[1], "&amp;", "&")
	}
	if len(got) != 120 || got[0] != "c119" || got[119] != "c000" ||
		!slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("%d calls: %v", len(got), got)
	}
}

func TestACallForPeople(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	resp, page := o.see("/calls/c1", "anna")
	wants(
		t,
		"the call",
		page,
		"caller reached a score of 0.93, over the threshold of 0.60.",
		"Analysed 14 s of 14 s of speech. 0.4 s of agent and 0.4 s of caller lost.",
		"<title>caller, 0:12 to 0:18: score 0.93, over the threshold</title>",
		"<title>agent, 0:26 to 0:29: skipped: music, as on hold</title>",
		`data-from="12.000" data-to="18.000" data-kind="over" data-src="/api/v1/segments/c1-caller-b/audio"`,
		`<audio controls preload="none" src="/api/v1/segments/c1-caller-b/audio"`,
		"Claim this call",
		`name="version" value="1"`,
		"Confirmed synthetic",
		"False alarm",
		"Unsure",
		"decided: flagged, score 0.93",
		"<strong>Simulated:</strong> the stand-in detects nothing",
		"<dd>payments</dd>",
		"3 segment events",
	)
	for k, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; " +
			"connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options": "nosniff",
		"Referrer-Policy":        "no-referrer",
		"Cache-Control":          "no-store",
		"Content-Type":           "text/html; charset=utf-8",
	} {
		if got := resp.Header.Get(k); got != want {
			t.Errorf("%s: %q", k, got)
		}
	}
	if !strings.Contains(resp.Header.Get("Permissions-Policy"), "microphone=()") {
		t.Error(resp.Header.Get("Permissions-Policy"))
	}
	if inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script(?: type="module")?>`).FindString(page); inline != "" {
		t.Errorf("the policy of content forbids %q", inline)
	}
	_, page = o.see("/calls/c1", "vera")
	wants(t, "one who may only look", page, "You can view calls, but not review them.", "not", "Claim this call", "not", `id="dispose"`)
	resp, page = o.see("/calls/none", "vera")
	if resp.StatusCode != 404 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	wants(t, "no call", page, "No such call")

	// The audio is deleted at the end of its retention; its hash is kept.
	segments, err := o.store.Segments(t.Context(), "c1")
	o.must(err)
	o.must(o.store.AudioDeleted(t.Context(), "c1", segments[:3], o.now))
	hash := segments[0].AudioSHA256
	_, page = o.see("/calls/c1", "anna")
	wants(
		t,
		"without audio",
		page,
		"The audio was deleted on 2026-03-01 13:00 UTC, as configured by retention.",
		`SHA-256 <code title="`+hash+`">`+hash[:12]+`…</code>`,
		"not",
		"<audio",
	)
}

// Reviews work without scripts, by forms and confirmation pages.
func TestFormsOfACall(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	o.flagged("c2")
	const form = "/calls/c1/review"
	resp, _ := o.submit(form, "anna", "version", "1", "action", "claim")
	if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != "/calls/c1?done=claim" {
		t.Fatalf("HTTP %d %s", resp.StatusCode, got)
	}
	_, page := o.see("/calls/c1?done=claim", "anna")
	wants(t, "claimed", page, "You have claimed this call for ten minutes.", "You have claimed this call until", "Release this call")
	_, page = o.see("/calls/c1", "bob")
	wants(t, "for another", page, "<b>reviewer</b> is working on this call until", "not", `id="dispose"`, "not", "Claim this call")
	_, page = o.see("/calls/c1", "root")
	wants(t, "for an administrator", page, "Release the claim of reviewer", "not", `id="dispose"`)
	resp, page = o.submit(form, "bob", "version", "1", "disposition", "unsure", "note", "I hear <b>nothing</b>")
	if resp.StatusCode != 409 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	wants(
		t,
		"refused",
		page,
		"The review has changed",
		"reviewer has claimed it until",
		"<dt>Your decision</dt><dd>Unsure</dd>",
		"I hear &lt;b&gt;nothing&lt;/b&gt;",
		`href="/calls/c1"`,
	)
	resp, _ = o.submit(form, "anna", "version", "2", "disposition", "confirmed_synthetic", "note", "no breath\r\nat all")
	if got := resp.Header.Get("Location"); resp.StatusCode != 303 || got != "/calls/c1?done=dispose" {
		t.Fatalf("HTTP %d %s", resp.StatusCode, got)
	}
	_, page = o.see("/calls/c1?done=dispose", "anna")
	wants(
		t,
		"decided",
		page,
		"Your decision is saved.",
		`<a id="next-call" href="/calls/c2">`,
		"<b>Confirmed synthetic</b>",
		"decided: Confirmed synthetic",
		"claimed the call",
		"Correct the decision",
	)
	if !strings.Contains(page, "no breath\nat all") {
		t.Error("the note has lost its lines")
	}
	resp, page = o.submit(form, "bob", "version", "2", "disposition", "false_alarm")
	if resp.StatusCode != 409 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	wants(
		t,
		"a stale form",
		page,
		"<dt>Now</dt><dd>closed</dd>",
		"<b>Confirmed synthetic</b>, by reviewer",
		"no breath at all",
		"<dt>Your decision</dt><dd>False alarm</dd>",
	)
	resp, _ = o.submit(form, "bob", "version", "3", "disposition", "false_alarm")
	if resp.StatusCode != 303 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	_, page = o.see("/calls/c1", "bob")
	wants(t, "corrected", page, "corrected the decision from Confirmed synthetic to False alarm")
	for name, fields := range map[string][]string{
		"nothing":            {},
		"no version":         {"action", "claim"},
		"an odd version":     {"action", "claim", "version", "1e3"},
		"an odd disposition": {"version", "4", "disposition", "x"},
		"an odd action":      {"version", "4", "action", "erase"},
		"a long note":        {"version", "4", "disposition", "unsure", "note", strings.Repeat("x", 2001)},
		"far too long":       {"version", "4", "disposition", "unsure", "note", strings.Repeat("x", 20_000)},
	} {
		if resp, _ := o.submit(form, "anna", fields...); resp.StatusCode != 400 {
			t.Errorf("%s: HTTP %d", name, resp.StatusCode)
		}
	}
	if resp, _ := o.submit(form, "vera", "version", "4", "action", "claim"); resp.StatusCode != 403 {
		t.Errorf("one who may only look: HTTP %d", resp.StatusCode)
	}
}

// Invariant: any name of a call or leg is shown as text, and its page is reachable.
func TestAnOddCallIsShownAsText(t *testing.T) {
	const call = `<script>alert(1)</script>`
	o := newOffice(t, nil)
	p := part(call)
	p.Metadata = map[string]string{`"><img src=x onerror=alert(1)>`: `'"><script>alert(2)</script>`, "url": "javascript:alert(3)"}
	p.Warnings = []string{"<script>alert(4)</script>"}
	o.must(o.desk.Progress(t.Context(), p))
	o.say(call, "caller", 0, 0, 8*time.Second, 0.93)
	o.say(call, `<i onclick="alert(5)">`, 0, 0, 8*time.Second, 0.1)
	o.hangUp(call, 10*time.Second, "caller", `<i onclick="alert(5)">`)
	o.must(o.desk.Progress(t.Context(), p))
	where := "/calls/" + url.PathEscape(call)
	if resp, _ := o.submit(where+"/review", "anna", "version", "1", "action", "claim"); resp.Header.Get("Location") != where+"?done=claim" {
		t.Errorf("HTTP %d %s", resp.StatusCode, resp.Header.Get("Location"))
	}
	_, conflict := o.submit(where+"/review", "bob", "version", "1", "disposition", "unsure", "note", "</textarea><script>alert(6)</script>")
	o.submit(where+"/review", "anna", "version", "2", "disposition", "unsure", "note", "<script>alert(7)</script>")
	bad := regexp.MustCompile(`(?i)<script>|<img src=x|<i on|href="javascript:`)
	pages := map[string]string{"conflict": conflict}
	for _, path := range []string{
		"/",
		"/?tab=all",
		"/?tab=all&q=" + url.QueryEscape(`"><script>`),
		where,
		"/calls/" + url.PathEscape("<script>none</script>"),
	} {
		_, pages[path] = o.see(path, "anna")
	}
	for path, page := range pages {
		if found := bad.FindString(page); found != "" {
			t.Errorf("%s has %q", path, found)
		}
	}
	wants(t, "the list", pages["/?tab=all"], `href="`+where+`"`, "&lt;script&gt;alert(1)&lt;/script&gt;")
	wants(
		t,
		"the call",
		pages[where],
		"&lt;script&gt;alert(1)&lt;/script&gt;",
		`action="`+where+`/review"`,
		"&lt;script&gt;alert(7)&lt;/script&gt;",
		"&lt;script&gt;alert(4)&lt;/script&gt;",
	)
	if _, v, _ := o.do("GET", "/api/v1"+where, "anna", ""); v["call"] != call {
		t.Errorf("%v", v)
	}
}

// Unusual characters in a path cannot reach another page.
func TestPathTricks(t *testing.T) {
	o := newOffice(t, nil)
	o.must(o.desk.Progress(t.Context(), part("a/b")))
	o.must(o.desk.Progress(t.Context(), part("..")))
	outside := filepath.Join(t.TempDir(), "secret")
	o.must(os.WriteFile(outside, []byte("secret"), 0o600))
	for path, want := range map[string]int{
		"/calls/a%2Fb":                        200,
		"/calls/a/b":                          404,
		"/calls/%2e%2e":                       200,
		"/calls/..":                           307,
		"/calls/%2E%2E%2F":                    404,
		"/calls/..%2f..%2fetc":                404,
		"/calls/%00":                          404,
		"/calls/a%2fb%00":                     404,
		"/calls/a%252Fb":                      404,
		"/calls/" + strings.Repeat("x", 5000): 404,
		"/calls/%ff%fe":                       404,
		"/static/desk.css":                    200,
		"/static/..%2flayout.html":            404,
		"/static/%2e%2e/layout.html":          404,
		"/static/layout.html":                 404,
		"/static/":                            404,
		"/static/..%5clayout.html":            404,
		"/static/" + url.PathEscape(outside):  404,
		"/api/v1/segments/..%2F..%2Fetc%2Fpasswd/audio": 404,
		"/api/v1/calls/%2e%2e%2f":                       404,
	} {
		resp, page := o.see(path, "vera")
		if resp.StatusCode != want || strings.Contains(page, "secret") {
			t.Errorf("%.80s: HTTP %d %s, want %d", path, resp.StatusCode, resp.Header.Get("Location"), want)
		}
	}
}

// No page is shown without a token, or with a token that lacks the role.
func TestWhoMaySeePages(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	for _, c := range []struct {
		method, path, token string
		want                int
	}{
		{"GET", "/", "", 401},
		{"GET", "/", "in", 403},
		{"GET", "/", "vera", 200},
		{"GET", "/calls/c1", "", 401},
		{"GET", "/calls/c1", "in", 403},
		{"GET", "/calls/c1", "root", 200},
		{"POST", "/calls/c1/review", "", 401},
		{"POST", "/calls/c1/review", "vera", 403},
		{"GET", "/api/v1/calls/c1/waveform", "", 401},
		{"GET", "/api/v1/calls/c1/history", "in", 403},
		{"GET", "/api/v1/events", "", 401},
		{"GET", "/api/v1/events", "in", 403},
		{"GET", "/static/desk.css", "", 200},
		{"GET", "/static/desk.js", "", 200},
		{"GET", "/static/icon.svg", "", 200},
		{"GET", "/api/v1/openapi.json", "", 200},
	} {
		if resp, _, body := o.do(c.method, c.path, c.token, ""); resp.StatusCode != c.want {
			t.Errorf("%s %s with %q: HTTP %d %.100s, want %d", c.method, c.path, c.token, resp.StatusCode, body, c.want)
		}
	}
	resp, _, _ := o.do("GET", "/static/desk.js", "", "")
	if resp.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || resp.Header.Get("ETag") == "" {
		t.Errorf("%v", resp.Header)
	}
	if resp, _, _ := o.do("GET", "/static/desk.js", "", "", "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != 304 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
}

// An unreachable database gives an error page, not an empty page.
func TestTheDatabaseIsAway(t *testing.T) {
	o := newOffice(t, func(c *review.Config) { c.Log = nil })
	o.must(o.store.Close())
	resp, page := o.see("/", "vera")
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	wants(t, "away", page, "The database or the audio store does not answer", "nothing is lost")
}
