package analyzer

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// Status is how far a job has come. Other values than these may appear; they count as not finished.
type Status string

const (
	StatusQueued    Status = "queued"
	StatusCompleted Status = "completed"
	StatusFailed    Status = "failed"
)

// Job is what the API says of an analysis.
type Job struct {
	ID        string
	Status    Status
	Score     float64 // 0..1, higher is more likely synthetic; NaN unless completed with a valid score
	Verdict   string  // "deepfake_likely", "deepfake_unlikely", or whatever the API comes up with
	ErrorCode string  // when failed
	Message   string  // when failed, shortened and made printable
	Sandbox   bool    // made in the vendor's sandbox
	Simulated bool    // made by the stand-in of package simulator, which detects nothing
}

// Result is what a finished job came to: a score, or an error.
func (j Job) Result() (Result, error) {
	r, e := j.result()
	if e != nil {
		return Result{JobID: j.ID}, e
	}
	return r, nil
}

// Done tells whether the job will not change any more.
func (j Job) Done() bool { return j.Status == StatusCompleted || j.Status == StatusFailed }

// maxID is far more than an id needs, and little enough for a path.
const maxID = 256

// parseJob reads an answer. Unknown fields are passed over, and a field of an unexpected type counts as missing.
func parseJob(body []byte) (Job, bool) {
	body = bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf"))
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil || raw == nil {
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

// scalar is a string or a number as text, "" for anything else.
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

// score is NaN unless it is a number within 0..1; one in quotes is accepted.
func score(raw json.RawMessage) float64 {
	text := scalar(raw)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1) || strings.ContainsAny(text, "xX_pP") {
		return math.NaN()
	}
	return f
}

// validID tells whether an id can be asked about without becoming something else on the way.
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
