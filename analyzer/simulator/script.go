package simulator

import (
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v4"
)

// Script says how the stand-in behaves. The zero Script is well behaved. It can be written as YAML, see [ParseScript].
type Script struct {
	// Token is the key that is accepted; "" accepts any but an empty one.
	Token string `yaml:"token"`
	// Latency is how long a job takes.
	Latency time.Duration `yaml:"latency"`
	// FailRate is the share, 0..1, of all requests that fail at random: 500, 502 with an HTML body, 429, or a connection
	// that is reset before or after the request was read.
	FailRate float64 `yaml:"fail_rate"`
	// Seed makes another sequence of random failures.
	Seed uint64 `yaml:"seed"`
	// Rules say what is different for some recordings. The first that matches counts.
	Rules []Rule `yaml:"rules"`
}

// Rule says what happens to the recordings that it matches.
type Rule struct {
	Match Match `yaml:"match"`
	// Submit and Poll, if set, replace the answer to a request.
	Submit *Answer `yaml:"submit"`
	Poll   *Answer `yaml:"poll"`
	// Result is what the job comes to.
	Result Result `yaml:"result"`
}

// Match says which recordings a rule is for. All fields that are set must agree; an empty Match agrees with all.
type Match struct {
	// From and To are numbers of submissions, counted from 1 and both inclusive. 0 means no bound.
	From int `yaml:"from"`
	To   int `yaml:"to"`
	// Every matches each n-th submission.
	Every int `yaml:"every"`
	// SHA256 matches one recording by the hash of its file, in hexadecimal.
	SHA256 string `yaml:"sha256"`
	// Marker matches by whether the audio carries the marker tone.
	Marker *bool `yaml:"marker"`
	// Shorter and Longer match WAV files by their duration.
	Shorter time.Duration `yaml:"shorter"`
	Longer  time.Duration `yaml:"longer"`
}

// Answer is what comes instead of a regular answer.
type Answer struct {
	// Times is how many requests about one recording get it, before things go well. 0 means all.
	Times int `yaml:"times"`
	// Status of the answer. 0 means 200.
	Status int `yaml:"status"`
	// RetryAfter is the value of that header: seconds, or a date.
	RetryAfter string `yaml:"retry_after"`
	// Body and ContentType of the answer.
	Body        string `yaml:"body"`
	ContentType string `yaml:"content_type"`
	// Location makes a redirect, together with a Status of 3xx.
	Location string `yaml:"location"`
	// Reset drops the connection: "before" the request was read, or "after" it, in which case the recording was accepted.
	Reset string `yaml:"reset"`
	// Delay comes before the answer.
	Delay time.Duration `yaml:"delay"`
}

// Result is what a job comes to.
type Result struct {
	// Score as it stands in the answer: usually a number, but anything can be put there. nil takes the usual score.
	Score any `yaml:"score"`
	// NoScore leaves the score out.
	NoScore bool `yaml:"no_score"`
	// Verdict as it stands in the answer; "" takes the one that fits the score.
	Verdict string `yaml:"verdict"`
	// Statuses are told by the first polls, one each, before the job is finished.
	Statuses []string `yaml:"statuses"`
	// Failed ends the job without a result, for ErrorCode and Message.
	Failed    bool   `yaml:"failed"`
	ErrorCode string `yaml:"error_code"`
	Message   string `yaml:"message"`
	// FailedTimes limits Failed to the first submissions that match. 0 means all.
	FailedTimes int `yaml:"failed_times"`
	// AtOnce finishes the job within the answer to the submission.
	AtOnce bool `yaml:"at_once"`
	// NumberID makes the id of the job a number.
	NumberID bool `yaml:"number_id"`
	// Never leaves the job unfinished for ever.
	Never bool `yaml:"never"`
}

// ParseScript reads a script from YAML. The keys are the names of the fields in lower case with underscores, for example
//
//	latency: 300ms
//	rules:
//	  - match: {marker: true}
//	    result: {score: 0.97}
//	  - match: {every: 3}
//	    submit: {status: 429, retry_after: "2", times: 1}
func ParseScript(r io.Reader) (Script, error) {
	data, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return Script{}, fmt.Errorf("read script: %w", err)
	}
	var s Script
	if len(data) == 0 {
		return s, nil
	}
	if err := yaml.Load(data, &s, yaml.WithKnownFields()); err != nil {
		return Script{}, fmt.Errorf("read script: %w", err)
	}
	return s, s.validate()
}

func (s Script) validate() error {
	if !(s.FailRate >= 0 && s.FailRate <= 1) {
		return fmt.Errorf("script: fail_rate is %v, must be within 0..1", s.FailRate)
	}
	if s.Latency < 0 {
		return fmt.Errorf("script: latency is %v, must not be negative", s.Latency)
	}
	for i, r := range s.Rules {
		for name, a := range map[string]*Answer{"submit": r.Submit, "poll": r.Poll} {
			if a == nil {
				continue
			}
			if a.Status != 0 && (a.Status < 200 || a.Status > 599) {
				return fmt.Errorf("script: rules[%d].%s.status is %d, must be within 200..599", i, name, a.Status)
			}
			if a.Reset != "" && a.Reset != "before" && a.Reset != "after" {
				return fmt.Errorf("script: rules[%d].%s.reset is %q, must be before or after", i, name, a.Reset)
			}
		}
	}
	return nil
}

func (m Match) matches(n int, u Upload) bool {
	switch {
	case m.From > 0 && n < m.From, m.To > 0 && n > m.To:
		return false
	case m.Every > 0 && n%m.Every != 0:
		return false
	case m.SHA256 != "" && m.SHA256 != u.SHA256:
		return false
	case m.Marker != nil && *m.Marker != u.Marker:
		return false
	case m.Shorter > 0 && u.Duration >= m.Shorter, m.Longer > 0 && u.Duration <= m.Longer:
		return false
	}
	return true
}
