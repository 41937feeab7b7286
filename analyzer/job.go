package analyzer

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
)

// Status is the progress of a job. Unknown values count as unfinished.
type Status string

const (
	StatusQueued    Status = "queued"
	StatusCompleted Status = "completed"
	StatusFailed    Status = "failed"
)

// Job is the state of an analysis as reported by the API.
type Job struct {
	ID        string
	Status    Status
	Score     float64 // 0..1, higher is more likely synthetic; NaN unless completed with a valid score
	Verdict   string  // "deepfake_likely", "deepfake_unlikely", or another value of the API
	ErrorCode string  // set if failed
	Message   string  // set if failed, shortened and made printable
	Sandbox   bool    // result of the vendor's sandbox
	Simulated bool    // result of package simulator
}

// Result returns the result of a finished job, or an error.
func (j Job) Result() (Result, error) {
	r, e := j.result()
	if e != nil {
		return Result{JobID: j.ID}, e
	}
	return r, nil
}

// Done reports whether the job is in a final state.
func (j Job) Done() bool { return j.Status == StatusCompleted || j.Status == StatusFailed }

// Final reports whether the job has a result: a valid score, or a failure. A job that is completed without a valid score is
// done and not final. Its score may follow.
func (j Job) Final() bool {
	return j.Status == StatusFailed || j.Status == StatusCompleted && !math.IsNaN(j.Score)
}

// maxID is longer than any real id, and short enough for a URL path.
const maxID = 256

// parseJob parses an answer. Unknown fields are ignored, and a field of an unexpected type counts as missing.
func parseJob(body []byte) (Job, bool) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
	raw, ok := members(body)
	if !ok {
		return Job{}, false
	}
	j := Job{
		ID:        scalar(raw["id"]),
		Status:    Status(strings.ToLower(scalar(raw["status"]))),
		Score:     score(raw["score"]),
		Verdict:   printable(scalar(raw["verdict"])),
		ErrorCode: printable(scalar(raw["error_code"])),
		Message:   printable(scalar(raw["message"])),
		Sandbox:   string(raw["is_sandbox"]) == "true",
		Simulated: string(raw["simulated"]) == "true",
	}
	if j.Status != StatusCompleted {
		j.Score = math.NaN()
	}
	return j, validID(j.ID) || j.ID == ""
}

// members returns the members of an object. A name with two different values is no answer: readers differ in which one they take.
func members(body []byte) (map[string]json.RawMessage, bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	all := map[string]json.RawMessage{}
	for d.More() {
		var value json.RawMessage
		name, err := d.Token()
		if err != nil || d.Decode(&value) != nil {
			return nil, false
		}
		key, _ := name.(string) // all names are strings
		if before, twice := all[key]; twice && !bytes.Equal(before, value) {
			return nil, false
		}
		all[key] = value
	}
	if _, err := d.Token(); err != nil { // the end of the object
		return nil, false
	}
	_, err := d.Token()
	return all, errors.Is(err, io.EOF)
}

// scalar returns a string or a number as text, and "" for any other value.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return strings.TrimSpace(s)
	}
	var n json.Number
	if json.Unmarshal(raw, &n) == nil {
		return n.String()
	}
	return ""
}

// score returns a number within 0..1, also if it is quoted, and NaN for any other value.
func score(raw json.RawMessage) float64 {
	text := scalar(raw)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) || strings.ContainsAny(text, "xX_pP") {
		return math.NaN()
	}
	return f
}

// validID reports whether an id is safe as an element of a URL path.
func validID(id string) bool {
	if id == "" || len(id) > maxID || id == "." || id == ".." {
		return false
	}
	for _, r := range id {
		if r <= ' ' || r == 0x7f || r == '\ufffd' {
			return false
		}
	}
	return true
}
