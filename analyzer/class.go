package analyzer

import (
	"bytes"
	"errors"
	"net/http"
	"time"
)

// Class names the party at fault for an error, and with it how a caller treats the recording.
type Class string

const (
	// ClassAudio is a fault of the recording. The same recording gets the same answer, so it is not sent again.
	ClassAudio Class = "audio"
	// ClassAccount is a fault of the key or of the account. Submissions stop, and recordings are kept until it is mended.
	ClassAccount Class = "account"
	// ClassService is a fault of the API or of the way to it. The recording is kept and tried again.
	ClassService Class = "service"
)

// Class returns the class of a kind. A kind that is not listed here is a fault of the service: an unknown fault must not end
// the analysis of a recording.
func (k Kind) Class() Class {
	switch k {
	case KindRejected, KindTooLarge, KindUnreadable, KindJobFailed:
		return ClassAudio
	case KindUnauthorized, KindNoCredit:
		return ClassAccount
	}
	return ClassService
}

// ClassOf returns the class of an error of Client. Any other error is a fault of the service.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind.Class()
	}
	return ClassService
}

// The operations of the API, as in Error.Op.
const (
	opSubmit = "submit"
	opPoll   = "poll"
)

// statusKind returns the kind of an HTTP status, and a hint. sent means that the API may have the whole recording.
//
// RFC 9110 section 15.6 decides which 5xx leave an upload in doubt. 500, 501, 503 and 505 are definite: the server itself states
// that it did not carry out the request. 502 and 504 come from a gateway that had passed the request on and does not know the
// outcome. Codes from 520 on are those of content delivery networks, which are gateways too. 302 and 303 may stand for the result of a
// request that was carried out (section 15.4), and no final answer has a code below 200. The other redirects ask for the request to be
// sent elsewhere.
func statusKind(op string, status int, sent bool) (Kind, string) {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return KindUnauthorized, "check DATASPIKE_API_KEY, and that the key is valid for this base URL"
	case http.StatusPaymentRequired:
		return KindNoCredit, "the account has no credit; top it up"
	case http.StatusTooManyRequests:
		return KindRateLimited, "lower analysis.rate_per_second if this continues"
	}
	if op == opPoll {
		if status == http.StatusNotFound || status == http.StatusGone {
			return KindJobNotFound, "the API does not know this job"
		}
		return KindUnavailable, redirectHint(status)
	}
	switch status {
	case http.StatusNotFound:
		return KindRejected, "check analysis.base_url"
	case http.StatusBadRequest, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return KindRejected, ""
	case http.StatusRequestEntityTooLarge:
		return KindTooLarge, "shorten segment.max_duration"
	}
	if sent && inDoubt(status) {
		return KindInDoubt, hintInDoubt
	}
	return KindUnavailable, redirectHint(status)
}

func inDoubt(status int) bool {
	switch status {
	case http.StatusFound, http.StatusSeeOther, http.StatusBadGateway, http.StatusGatewayTimeout:
		return true
	}
	return status < 200 || status >= 520
}

const hintInDoubt = "the upload was sent, but its outcome is unknown"

func redirectHint(status int) string {
	if status >= 300 && status < 400 {
		return "the API redirects elsewhere; redirects are not followed, check analysis.base_url"
	}
	return ""
}

// statusError converts an HTTP status to an error, or nil for success.
func statusError(op string, status int, sent bool, body []byte, after time.Duration) *Error {
	if status >= 200 && status < 300 {
		return nil
	}
	e := &Error{Op: op, Status: status, Message: answerMessage(body)}
	e.Kind, e.Hint = statusKind(op, status, sent)
	if (e.Kind == KindJobNotFound || e.Kind.Class() == ClassAudio) && page(body) {
		e.Kind, e.Hint = KindUnavailable, "a server in front of the API answers; check analysis.base_url" // it knows no jobs and no audio
	}
	if e.Kind.Class() == ClassService {
		e.Retry, e.RetryAfter = true, after
	}
	return e
}

// page reports whether a body is markup, as servers in front of the API send it.
func page(body []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) }
