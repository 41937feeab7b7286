package simulator

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.yaml.in/yaml/v4"
)

// Script controls the behaviour of the simulator. The zero Script never fails. [ParseScript] reads one from YAML.
type Script struct {
	// Token is the accepted key. "" accepts any key that is not empty.
	Token string `yaml:"token"`
	// Latency is the processing time of a job.
	Latency time.Duration `yaml:"latency"`
	// FailRate is the share, 0..1, of requests that fail at random: 500, 502 with an HTML body, 429, or a connection reset
	// before or after the request was read.
	FailRate float64 `yaml:"fail_rate"`
	// Seed selects the sequence of random failures.
	Seed uint64 `yaml:"seed"`
	// Rules change the behaviour for some recordings. The first matching rule applies.
	Rules []Rule `yaml:"rules"`
	// Outages change the behaviour for some time. They come before the rules.
	Outages []Outage `yaml:"outages"`
}

// Outage replaces the answers to all requests of a period. Times of its answers is ignored.
type Outage struct {
	// From and To limit the period, counted from the first request. A To of 0 means no end.
	From time.Duration `yaml:"from"`
	To   time.Duration `yaml:"to"`
	// Submit and Poll, if set, replace the answer to a request.
	Submit *Answer `yaml:"submit"`
	Poll   *Answer `yaml:"poll"`
}

// Rule changes the behaviour for the recordings that it matches.
type Rule struct {
	Match Match `yaml:"match"`
	// Submit and Poll, if set, replace the answer to a request.
	Submit *Answer `yaml:"submit"`
	Poll   *Answer `yaml:"poll"`
	// Result is the result of the job.
	Result Result `yaml:"result"`
}

// Match selects recordings. All fields that are set must match. An empty Match selects every recording.
type Match struct {
	// From and To select submissions by number, from 1, both inclusive. 0 means no limit.
	From int `yaml:"from"`
	To   int `yaml:"to"`
	// Every selects every n-th submission.
	Every int `yaml:"every"`
	// SHA256 selects one recording by the hash of its file, in hexadecimal.
	SHA256 string `yaml:"sha256"`
	// Marker selects recordings with or without the marker tone.
	Marker *bool `yaml:"marker"`
	// Shorter and Longer select WAV files by duration.
	Shorter time.Duration `yaml:"shorter"`
	Longer  time.Duration `yaml:"longer"`
}

// Answer replaces a regular answer.
type Answer struct {
	// Times is the number of requests per recording that get this answer. 0 means all.
	Times int `yaml:"times"`
	// Status is the HTTP status. 0 means 200.
	Status int `yaml:"status"`
	// RetryAfter is the value of the header Retry-After: seconds or a date.
	RetryAfter string `yaml:"retry_after"`
	// Body and ContentType of the answer.
	Body        string `yaml:"body"`
	ContentType string `yaml:"content_type"`
	// Location is the target of a redirect, with a Status of 3xx.
	Location string `yaml:"location"`
	// Reset drops the connection: "before" the request is read, or "after" it. In the second case the recording is
	// accepted.
	Reset string `yaml:"reset"`
	// Delay is the delay before the answer.
	Delay time.Duration `yaml:"delay"`
	// Accept makes the recording a job, whatever the answer to its submission is. A Reset "after" does so too.
	Accept bool `yaml:"accept"`
	// Hang keeps the request without an answer until the client gives up.
	Hang bool `yaml:"hang"`
}

// Result is the result of a job.
type Result struct {
	// Score is copied to the answer: usually a number, but any value is possible. nil means the default score.
	Score any `yaml:"score"`
	// NoScore omits the score.
	NoScore bool `yaml:"no_score"`
	// Verdict is copied to the answer. "" means the verdict that fits the score.
	Verdict string `yaml:"verdict"`
	// Statuses are reported by the first polls, one each, before the job is finished.
	Statuses []string `yaml:"statuses"`
	// Failed ends the job without a result, with ErrorCode and Message.
	Failed    bool   `yaml:"failed"`
	ErrorCode string `yaml:"error_code"`
	Message   string `yaml:"message"`
	// FailedTimes limits Failed to the first matching submissions. 0 means all.
	FailedTimes int `yaml:"failed_times"`
	// AtOnce finishes the job in the answer to the submission.
	AtOnce bool `yaml:"at_once"`
	// NumberID makes the job id a number.
	NumberID bool `yaml:"number_id"`
	// Never keeps the job unfinished.
	Never bool `yaml:"never"`
}

// ParseScript reads a script from YAML. The keys are the field names in lower case with underscores, for example
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
		if err := errors.Join(r.Submit.validate("rules", i, "submit"), r.Poll.validate("rules", i, "poll")); err != nil {
			return err
		}
	}
	for i, o := range s.Outages {
		if o.From < 0 || o.To != 0 && o.To <= o.From {
			return fmt.Errorf("script: outages[%d] is from %v to %v, must not be empty", i, o.From, o.To)
		}
		if err := errors.Join(o.Submit.validate("outages", i, "submit"), o.Poll.validate("outages", i, "poll")); err != nil {
			return err
		}
	}
	return nil
}

func (a *Answer) validate(list string, i int, name string) error {
	switch {
	case a == nil:
		return nil
	case a.Status != 0 && (a.Status < 200 || a.Status > 599):
		return fmt.Errorf("script: %s[%d].%s.status is %d, must be within 200..599", list, i, name, a.Status)
	case a.Reset != "" && a.Reset != "before" && a.Reset != "after":
		return fmt.Errorf("script: %s[%d].%s.reset is %q, must be before or after", list, i, name, a.Reset)
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
