package analyzer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	submitPath = "/api/v4/deepfake/audio/analyze"
	jobPath    = "/api/v4/deepfake/job/"
	maxAnswer  = 1 << 20
	maxAfter   = time.Hour
)

// Submit uploads a recording with one request and no retry. The returned job may be finished already. After an error of
// KindInDoubt the API may have accepted the recording.
func (c *Client) Submit(ctx context.Context, audio Audio) (Job, error) {
	job, err := c.submit(ctx, audio, false)
	if err != nil {
		return Job{}, err
	}
	return job, nil
}

// submit reports its request to Observe, even if the request was not sent.
func (c *Client) submit(ctx context.Context, audio Audio, resend bool) (Job, *Error) {
	start := c.opt.Clock.Now()
	job, e := c.upload(ctx, audio)
	c.observe(Event{Op: "submit", Err: e, Took: c.opt.Clock.Now().Sub(start), Resend: resend})
	return job, e
}

func (c *Client) upload(ctx context.Context, audio Audio) (Job, *Error) {
	if audio.Size >= MaxSize {
		return Job{}, &Error{
			Op:   "submit",
			Kind: KindTooLarge,
			Err:  fmt.Errorf("the recording has %d bytes, the API accepts less than %d", audio.Size, MaxSize),
			Hint: "cut it into shorter segments",
		}
	}
	u, err := newUpload(audio)
	if err != nil {
		return Job{}, &Error{Op: "submit", Kind: KindUnreadable, Err: err}
	}
	defer func() { _ = u.close() }() // closing a file that was only read
	refused, no := c.mayAsk()
	if no != nil {
		return Job{}, no
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.RequestTimeout)
	defer cancel()
	// From here on the API may have the whole recording, even if the answer is lost.
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			sent.Store(true)
		}
	}})
	// Without GetBody, net/http cannot send the recording a second time by itself.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base.String()+submitPath, io.NopCloser(u.body))
	if err != nil {
		return Job{}, &Error{Op: "submit", Kind: KindNetwork, Err: err}
	}
	req.ContentLength = u.size
	req.Header.Set("Content-Type", u.contentType)
	body, status, after, e := c.do(req, "submit", "")
	job := Job{}
	if e == nil {
		job, e = c.submitAnswer(body, status, after)
	} else if e.Kind == KindNetwork && sent.Load() {
		e.Kind, e.Hint = KindInDoubt, "the upload was sent, but its outcome is unknown"
	}
	switch {
	case e != nil && e.Kind == KindUnauthorized:
		if c.refused.Swap(&refusal{err: e, at: c.opt.Clock.Now()}) == nil {
			c.opt.Log.Error(
				"analysis API rejects the key, submissions stopped",
				"status",
				e.Status,
				"asked_again_after",
				c.opt.KeyRetry,
				"hint",
				e.Hint,
			)
		}
	case e == nil && refused != nil && c.refused.CompareAndSwap(refused, nil):
		c.opt.Log.Info("analysis API accepts the key again")
	}
	return job, e
}

// mayAsk returns an error while the key is rejected and no retry is due. It returns the refusal that this request
// retests, or nil. Only one request at a time retests the key.
func (c *Client) mayAsk() (about *refusal, no *Error) {
	for {
		r := c.refused.Load()
		if r == nil {
			return nil, nil
		}
		now := c.opt.Clock.Now()
		if c.opt.KeyRetry == 0 || now.Sub(r.at) < c.opt.KeyRetry {
			return nil, r.err
		}
		if about := (&refusal{err: r.err, at: now}); c.refused.CompareAndSwap(r, about) {
			return about, nil
		}
	}
}

func (c *Client) submitAnswer(body []byte, status int, after time.Duration) (Job, *Error) {
	if e := statusError("submit", status, body, after); e != nil {
		return Job{}, e
	}
	job, ok := parseJob(body)
	if !ok || job.ID == "" && !job.Done() {
		// A server accepted the upload, possibly the API.
		return Job{}, &Error{
			Op:      "submit",
			Kind:    KindInDoubt,
			Status:  status,
			Message: printable(string(body)),
			Retry:   true,
			Err:     errors.New("the answer has no job id"),
		}
	}
	return job, nil
}

// Poll requests the state of a job once.
func (c *Client) Poll(ctx context.Context, id string) (Job, error) {
	job, err := c.poll(ctx, id)
	if err != nil {
		return Job{}, err
	}
	return job, nil
}

func (c *Client) poll(ctx context.Context, id string) (Job, *Error) {
	start := c.opt.Clock.Now()
	job, e := c.ask(ctx, id)
	c.observe(Event{Op: "poll", Err: e, Took: c.opt.Clock.Now().Sub(start)})
	return job, e
}

func (c *Client) ask(ctx context.Context, id string) (Job, *Error) {
	if !validID(id) {
		return Job{}, &Error{Op: "poll", Kind: KindInvalidAnswer, Err: fmt.Errorf("%q is not a job id", printable(id))}
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+jobPath+url.PathEscape(id), nil)
	if err != nil {
		return Job{}, &Error{Op: "poll", Kind: KindNetwork, JobID: id, Err: err}
	}
	body, status, after, e := c.do(req, "poll", id)
	if e != nil {
		return Job{}, e
	}
	if e := statusError("poll", status, body, after); e != nil {
		e.JobID = id
		return Job{}, e
	}
	job, ok := parseJob(body)
	if !ok || job.Status == "" {
		return Job{}, &Error{
			Op:      "poll",
			Kind:    KindInvalidAnswer,
			JobID:   id,
			Status:  status,
			Message: printable(string(body)),
			Retry:   true,
		}
	}
	if job.ID == "" {
		job.ID = id
	}
	return job, nil
}

// do sends a request and reads the answer, of any status.
func (c *Client) do(req *http.Request, op, id string) (body []byte, status int, after time.Duration, e *Error) {
	req.Header.Set("ds-api-token", c.key())
	req.Header.Set("User-Agent", c.opt.UserAgent)
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		// Read to the end even if the body is unused, so that the connection can be reused.
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		status, after = resp.StatusCode, c.retryAfter(resp.Header.Get("Retry-After"))
		if err != nil && status >= 300 {
			err = nil // the status is sufficient
		}
	}
	if err != nil {
		return nil, 0, 0, c.networkError(req, op, id, err)
	}
	return body, status, after, nil
}

// networkError describes a missing answer. It omits the URL, which net/http includes in its errors.
func (c *Client) networkError(req *http.Request, op, id string, err error) *Error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Error{
		Op:    op,
		Kind:  KindNetwork,
		JobID: id,
		Retry: true,
		Err:   fmt.Errorf("%s does not answer: %w", req.URL.Host, err),
		Hint:  "check the network and analysis.base_url",
	}
}

// retryAfter parses a Retry-After header, RFC 9110 section 10.2.3: seconds or a date.
func (c *Client) retryAfter(value string) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if s, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(s, 0), int64(maxAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(c.opt.Clock.Now()), 0), maxAfter)
	}
	return 0
}

// statusError converts an HTTP status to an error, or nil for success.
func statusError(op string, status int, body []byte, after time.Duration) *Error {
	if status >= 200 && status < 300 {
		return nil
	}
	e := &Error{Op: op, Status: status, Message: answerMessage(body), RetryAfter: after}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		e.Kind, e.Hint = KindUnauthorized, "check DATASPIKE_API_KEY, and that the key is valid for this base URL"
	case status == http.StatusTooManyRequests:
		e.Kind, e.Retry, e.Hint = KindRateLimited, true, "lower analysis.rate_per_second if this continues"
	case status >= 500 || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		e.Kind, e.Retry = KindUnavailable, true
	case status == http.StatusRequestEntityTooLarge:
		e.Kind, e.Hint = KindTooLarge, "shorten segment.max_duration"
	case status == http.StatusNotFound && op == "poll":
		e.Kind, e.Hint = KindJobNotFound, "the API does not know this job"
	case status >= 300 && status < 400:
		e.Kind, e.Hint = KindRejected, "the API redirects elsewhere; redirects are not followed, check analysis.base_url"
	case status == http.StatusNotFound:
		e.Kind, e.Hint = KindRejected, "check analysis.base_url"
	default:
		e.Kind = KindRejected
	}
	if e.Kind == KindUnauthorized || e.Kind == KindRejected || e.Kind == KindTooLarge {
		e.RetryAfter = 0
	}
	return e
}

// answerMessage returns the message of an error page, shortened: the field message of JSON, otherwise the text.
func answerMessage(body []byte) string {
	if job, ok := parseJob(body); ok {
		return job.Message
	}
	return printable(string(body))
}
