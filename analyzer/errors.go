package analyzer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Kind classifies an error, machine-readable.
type Kind string

const (
	KindUnauthorized  Kind = "unauthorized"   // 401, 403: the API rejects the key
	KindNoCredit      Kind = "no_credit"      // 402: the account has no credit
	KindRejected      Kind = "rejected"       // the API rejects this recording
	KindTooLarge      Kind = "too_large"      // the recording is not smaller than MaxSize, or 413
	KindJobNotFound   Kind = "job_not_found"  // the API does not know the job
	KindJobFailed     Kind = "job_failed"     // the analysis ended without a result
	KindInvalidAnswer Kind = "invalid_answer" // the answer is not valid
	KindInvalidScore  Kind = "invalid_score"  // completed, without a score within 0..1
	KindTimeout       Kind = "timeout"        // not finished by the deadline
	KindRateLimited   Kind = "rate_limited"   // 429
	KindUnavailable   Kind = "unavailable"    // 5xx and the like
	KindNetwork       Kind = "network"        // no answer at all
	KindInDoubt       Kind = "in_doubt"       // the upload was sent, its outcome is unknown
	KindUnreadable    Kind = "unreadable"     // opening or reading the recording failed
	KindCanceled      Kind = "canceled"       // the context ended
)

// Error is the error of every method of Client.
type Error struct {
	Op         string        // "submit" or "poll"
	Kind       Kind          // class of the error
	JobID      string        // the job, if there is one
	Status     int           // HTTP status, 0 without an answer
	Code       string        // error_code of a failed job
	Message    string        // message of the API, shortened and made printable
	Retry      bool          // the same request may succeed later
	RetryAfter time.Duration // from the Retry-After header, 0 if absent
	Hint       string        // how to fix it
	Err        error         // the cause, if there is one
}

// Error returns the error in one line.
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
		fmt.Fprintf(&b, ", retry possible in %v", e.RetryAfter.Round(time.Second))
	}
	if e.Hint != "" {
		b.WriteString(" (hint: " + e.Hint + ")")
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Reason returns a machine-readable reason: the Kind of the *Error in the chain, otherwise "canceled", "timeout" or
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

// Retryable reports whether the same request may succeed later. after is the delay that the API asked for, or 0.
func Retryable(err error) (retry bool, after time.Duration) {
	var e *Error
	if !errors.As(err, &e) {
		return false, 0
	}
	return e.Retry, e.RetryAfter
}

// MayBeAudio reports whether the audio may have caused the failure of a job, so that a cleaned copy may succeed. The
// API has no error code for this case; its documentation advises to retry.
func MayBeAudio(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == KindJobFailed
}

const maxMessage = 200

// printable shortens external text to one printable line.
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
