package analyzer

import (
	"math"
	"strings"
	"testing"

	"callscreen/internal/testkit"
)

// Readers differ in which of two members with one name they take, and in what follows an object.
func TestAnAnswerIsOneObject(t *testing.T) {
	for body, want := range map[string]bool{
		`{"id":"a","status":"completed","score":0.2,"score":0.9}`: false,
		`{"id":"a","status":"completed","score":0.2} {"id":"a"}`:  false,
		`{"id":"a","status":"completed","score":0.2}]`:            false,
		`{"id":"a","status":"completed","score":0.2`:              false,
		`["id"]`: false,
		`null`:   false,
		``:       false,
		`{"id":"a","status":"completed","score":0.2,"score":0.2}`:              true,
		`{"id":"a","status":"completed","score":0.2,"scores":[{"score":0.9}]}`: true,
		"{}\n": true,
	} {
		j, ok := parseJob([]byte(body))
		if ok != want || want && len(body) > 3 && j.Score != 0.2 {
			t.Errorf("%s: %v %+v", body, ok, j)
		}
	}
}

func FuzzJobAnswer(f *testing.F) {
	for _, s := range []string{
		`{"id":"01827ed4-c928-7a3c-9a30-7ab7cc169d11","status":"completed","job_type":"audio","score":0.87,"verdict":"deepfake_likely"}`,
		`{"id":12,"status":"failed","error_code":"Unknown","message":"x"}`,
		`{"id":"../..","status":"queued"}`,
		`[]`,
		`null`,
		`{}`,
		"\ufeff{}",
		`{"score":"0x1p-1"}`,
		`{"status":"completed","score":1e400}`,
		`{"status":"completed","score":"nan"}`,
		`{"id":{"a":1},"status":[1]}`,
		`{"id":"a","id":"b","status":"queued"}`,
		`{"id":"a"}{"id":"b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		defer testkit.Bounded(t)()
		j, ok := parseJob(body)
		if !ok {
			return
		}
		if j.ID != "" && (!validID(j.ID) || len(j.ID) > maxID) {
			t.Errorf("id %q", j.ID)
		}
		if !math.IsNaN(j.Score) && (j.Score < 0 || j.Score > 1 || j.Status != StatusCompleted) {
			t.Errorf("score %v while %q", j.Score, j.Status)
		}
		for _, s := range []string{j.Verdict, j.ErrorCode, j.Message} {
			if len(s) > maxMessage+3 || strings.ContainsAny(s, "\n\r\x00\x1b") {
				t.Errorf("text %q", s)
			}
		}
	})
}
