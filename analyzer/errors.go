package analyzer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Kind says what went wrong, in words that a program can act on.
type Kind string

const (
	KindUnauthorized  Kind = "unauthorized"   // 401, 403: the key is not accepted
	KindRejected      Kind = "rejected"       // the API does not take this recording
	KindTooLarge      Kind = "too_large"      // the recording is not below MaxSize, or 413
	KindJobNotFound   Kind = "job_not_found"  // the API does not know the job, or not any more
	KindJobFailed     Kind = "job_failed"     // the analysis ended without a result
	KindInvalidAnswer Kind = "invalid_answer" // the answer cannot be understood
	KindInvalidScore  Kind = "invalid_score"  // completed, without a score within 0..1
	KindTimeout       Kind = "timeout"        // not finished by the deadline
	KindRateLimited   Kind = "rate_limited"   // 429
	KindUnavailable   Kind = "unavailable"    // 5xx and the like
	KindNetwork       Kind = "network"        // no answer at all
	KindInDoubt       Kind = "in_doubt"       // the upload was sent, and whether it was accepted is not known
	KindUnreadable    Kind = "unreadable"     // the recording cannot be opened or read
	KindCanceled      Kind = "canceled"       // the context ended
)

// Error is what every method of a Client returns when it fails.
type Error struct {
	Op         string        // "submit" or "poll"
	Kind       Kind          // what went wrong
	JobID      string        // the job, if there is one
	Status     int           // HTTP status, 0 without an answer
	Code       string        // error_code of a failed job
	Message    string        // what the API says about it, shortened and made printable
	Retry      bool          // whether the same request may succeed later
	RetryAfter time.Duration // when, if the API said so
	Hint       string        // what to do about it
	Err        error         // the cause, if there is one
}

// Error says it in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("analysis ")
	b.WriteString(e.Op)
	if e.JobID != "" {
		fmt.Fprintf(&b, " of job %s", e.JobID)
	}
	b.WriteString(": ")
	b.WriteString(strings.ReplaceAll(string(e.Kind), "_", " "))
	if e.Status != 0 {
		fmt.Fprintf(&b, ", HTTP %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(", " + e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ", %q", e.Message)
	}
	if e.Err != nil {
		b.WriteString(": " + printable(e.Err.Error()))
	}
	if e.Retry && e.RetryAfter > 0 {
		fmt.Fprintf(&b, ", may be tried again in %v", e.RetryAfter.Round(time.Second))
	}
	if e.Hint != "" {
		b.WriteString(" (hint: " + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason is the Kind of an error in machine-readable form: that of the *Error within, else "canceled", "timeout" or
// "error".
func Reason(err error) string {
	var e *Error
	switch {
	case errors.As(err, &e):
		return string(e.Kind)
	case errors.Is(err, context.Canceled):
		return string(KindCanceled)
	case errors.Is(err, context.DeadlineExceeded):
		return string(KindTimeout)
	}
	return "error"
}

// Retryable tells whether the same request may succeed later, and how long the API asked to wait before that, 0 if it
// did not say.
func Retryable(err error) (retry bool, after time.Duration) {
	var e *Error
	if !errors.As(err, &e) {
		return false, 0
	}
	return e.Retry, e.RetryAfter
}

// MayBeAudio tells whether a job failed for a reason that may lie in the recording, so that a cleaner one may succeed.
// The API has no error code that says so, and its documentation advises to try.
func MayBeAudio(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == KindJobFailed
}

const maxMessage = 200

// printable cuts a text from outside to one short line.
func printable(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))), " ")
	if len(s) > maxMessage {
		s = strings.ToValidUTF8(s[:maxMessage], "") + "..."
	}
	return s
}
