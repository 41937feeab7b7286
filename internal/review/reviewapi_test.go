package review_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"callscreen/internal/store"
	"callscreen/internal/store/storetest"
)

func TestReviewByTheAPI(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	o.say("fine", "caller", 0, 0, 8*time.Second, 0.1)
	o.hangUp("fine", 10*time.Second, "caller")
	if _, call, _ := o.do("GET", "/api/v1/calls/c1", "vera", ""); call["decision"] != "flagged" ||
		call["review"].(map[string]any)["state"] != "waiting" ||
		call["review"].(map[string]any)["version"] != 1.0 {
		t.Fatalf("%v", call)
	}
	if _, call, _ := o.do("GET", "/api/v1/calls/fine", "vera", ""); call["decision"] != "clear" || call["review"] != nil {
		t.Errorf("%v", call)
	}
	long := strings.Repeat("ü", 2000)
	for _, c := range []struct {
		name, call, token, body string
		status                  int
		want                    string // in the answer
	}{
		{"no token", "c1", "", `{"action":"claim","version":1}`, 401, "token is required"},
		{"a token that is not known", "c1", "x", `{"action":"claim","version":1}`, 403, ""},
		{"a sender", "c1", "in", `{"action":"claim","version":1}`, 403, ""},
		{"one who may only look", "c1", "vera", `{"action":"claim","version":1}`, 403, "reviewer"},
		{"no JSON", "c1", "anna", `claim`, 400, "want {"},
		{"two objects", "c1", "anna", `{"action":"claim","version":1}{}`, 400, "want {"},
		{"an unknown key", "c1", "anna", `{"action":"claim","version":1,"who":"bob"}`, 400, "want {"},
		{"too much", "c1", "anna", `{"action":"claim","note":"` + strings.Repeat("x", 20_000) + `"}`, 400, "want {"},
		{"no action", "c1", "anna", `{"version":1}`, 400, "action must be claim, release or dispose"},
		{"no version", "c1", "anna", `{"action":"claim"}`, 400, "version must be"},
		{"a note of a claim", "c1", "anna", `{"action":"claim","version":1,"note":"x"}`, 400, "need the action dispose"},
		{"no disposition", "c1", "anna", `{"action":"dispose","version":1}`, 400, "confirmed_synthetic, false_alarm, unsure"},
		{"a note that is too long", "c1", "anna", `{"action":"dispose","version":1,"disposition":"unsure","note":"` + long + `x"}`, 400, "2000"},
		{"a note that rings", "c1", "anna", `{"action":"dispose","version":1,"disposition":"unsure","note":"\u0007"}`, 400, "2000"},
		{"no call", "none", "anna", `{"action":"claim","version":1}`, 404, "no such call"},
		{"nothing to review", "fine", "anna", `{"action":"claim","version":1}`, 404, "not up for review"},
		{"release what nobody has", "c1", "anna", `{"action":"release","version":1}`, 409, "is not claimed"},
		{"claim", "c1", "anna", `{"action":"claim","version":1}`, 200, `"assignee":"reviewer"`},
		{"claim what another has", "c1", "bob", `{"action":"claim","version":2}`, 409, `"assignee":"reviewer"`},
		{"an old version", "c1", "bob", `{"action":"dispose","version":1,"disposition":"unsure"}`, 409, `"version":2`},
		{"dispose", "c1", "anna", `{"action":"dispose","version":2,"disposition":"false_alarm","note":"` + long + `"}`, 200, `"state":"closed"`},
		{"a stale edit", "c1", "bob", `{"action":"dispose","version":2,"disposition":"unsure"}`, 409, `"disposition":"false_alarm"`},
		{"a correction", "c1", "bob", `{"action":"dispose","version":3,"disposition":"confirmed_synthetic"}`, 200, `"version":4`},
	} {
		resp, _, body := o.do("POST", "/api/v1/calls/"+c.call+"/review", c.token, c.body)
		if resp.StatusCode != c.status || !strings.Contains(body, c.want) ||
			c.status >= 400 && resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: HTTP %d %.300s, want %d with %q", c.name, resp.StatusCode, body, c.status, c.want)
		}
	}
	if resp, _, _ := o.do(
		"POST",
		"/api/v1/calls/c1/review",
		"anna",
		`{"action":"claim","version":1}`,
		"Content-Type",
		"text/plain",
	); resp.StatusCode != 415 {
		t.Errorf("as text: HTTP %d", resp.StatusCode)
	}
	for query, want := range map[string]int{"review=waiting": 0, "review=closed": 1, "review=closed&decision=clear": 0, "": 2} {
		if _, list, _ := o.do("GET", "/api/v1/calls?"+query, "anna", ""); len(list["calls"].([]any)) != want {
			t.Errorf("%s: %v", query, list)
		}
	}
	if resp, _, _ := o.do("GET", "/api/v1/calls?review=maybe", "anna", ""); resp.StatusCode != 400 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
	_, h, _ := o.do("GET", "/api/v1/calls/c1/history", "vera", "")
	var story []string
	for _, l := range h["audit"].([]any) {
		line := l.(map[string]any)
		detail := line["detail"].(map[string]any)
		story = append(story, fmt.Sprint(line["actor"], " ", line["what"], " ", detail["action"], " ", detail["version"]))
	}
	if got, want := strings.Join(
		story[len(story)-3:],
		"; ",
	), "reviewer review.changed claim 2; reviewer review.changed dispose 3; bob review.changed dispose 4"; got != want {
		t.Errorf("the history ends with %s", got)
	}
	said := h["dispositions"].([]any)
	if len(said) != 2 || said[0].(map[string]any)["who"] != "reviewer" || said[0].(map[string]any)["note"] != long ||
		said[1].(map[string]any)["disposition"] != "confirmed_synthetic" {
		t.Errorf("%v", said)
	}
	if d := h["decisions"].([]any); len(d) != 1 || d[0].(map[string]any)["decision"] != "flagged" {
		t.Errorf("%v", d)
	}
	if resp, _, _ := o.do("GET", "/api/v1/calls/none/history", "vera", ""); resp.StatusCode != 404 {
		t.Errorf("HTTP %d", resp.StatusCode)
	}
}

// Two analysts claim the same call at the same moment: one gets it, and the other gets the name of the holder.
func TestTwoAnalystsClaimAtOnce(t *testing.T) {
	race := func(t *testing.T, o *office) {
		for i := range 5 {
			call := fmt.Sprint("c", i)
			o.flagged(call)
			var codes [2]int
			var bodies [2]string
			var both sync.WaitGroup
			for i, token := range []string{"anna", "bob"} {
				both.Go(func() {
					resp, _, body := o.do("POST", "/api/v1/calls/"+call+"/review", token, `{"action":"claim","version":1}`)
					codes[i], bodies[i] = resp.StatusCode, body
				})
			}
			both.Wait()
			if codes[0]+codes[1] != http.StatusOK+http.StatusConflict || !strings.Contains(bodies[0]+bodies[1], `"version":2`) {
				t.Errorf("%v %v", codes, bodies)
			}
		}
	}
	t.Run("SQLite", func(t *testing.T) { race(t, newOffice(t, nil)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		url := storetest.StartPostgres(t).Database()
		if err := store.Migrate(t.Context(), store.Options{URL: url}); err != nil {
			t.Fatal(err)
		}
		db, err := store.Open(t.Context(), store.Options{URL: url, MaxConns: 10})
		if err != nil {
			t.Fatal(err)
		}
		race(t, openOffice(t, db, t.TempDir(), nil))
	})
}

// An expired claim does not keep the call from other reviewers.
func TestAClaimExpires(t *testing.T) {
	o := newOffice(t, nil)
	o.flagged("c1")
	o.do("POST", "/api/v1/calls/c1/review", "anna", `{"action":"claim","version":1}`)
	o.now = o.now.Add(10 * time.Minute)
	if _, call, _ := o.do("GET", "/api/v1/calls/c1", "bob", ""); call["review"].(map[string]any)["assignee"] != "" {
		t.Errorf("%v", call["review"])
	}
	if resp, _, body := o.do("POST", "/api/v1/calls/c1/review", "bob", `{"action":"claim","version":2}`); resp.StatusCode != 200 {
		t.Error(body)
	}
	// An administrator can release the claim of an absent reviewer.
	if resp, _, body := o.do("POST", "/api/v1/calls/c1/review", "root", `{"action":"release","version":3}`); resp.StatusCode != 200 {
		t.Error(body)
	}
}
