package analyzer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	submitPath = "/api/v4/deepfake/audio/analyze"
	jobPath    = "/api/v4/deepfake/job/"
	maxAnswer  = 1 << 20
	maxAfter   = time.Hour
)

// Submit uploads a recording with one request and no retry. The returned job has an id, and may be finished already. After an error of
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
	c.observe(Event{Op: opSubmit, Err: e, Took: c.opt.Clock.Now().Sub(start), Resend: resend})
	if e == nil && !job.Done() {
		c.pacer.submitted(job.ID, audio.Size)
	}
	return job, e
}

func (c *Client) upload(ctx context.Context, audio Audio) (Job, *Error) {
	if audio.Size >= MaxSize {
		return Job{}, &Error{
			Op:   opSubmit,
			Kind: KindTooLarge,
			Err:  fmt.Errorf("the recording has %d bytes, the API accepts less than %d", audio.Size, MaxSize),
			Hint: "cut it into shorter segments",
		}
	}
	u, err := newUpload(audio)
	if err != nil {
		return Job{}, &Error{Op: opSubmit, Kind: KindUnreadable, Err: err}
	}
	defer func() { _ = u.close() }() // closing a file that was only read
	refused, no := c.mayAsk()
	if no != nil {
		return Job{}, no
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.RequestTimeout)
	defer cancel()
	handed := &handover{size: u.size, body: u.body}
	// Without GetBody, net/http cannot send the recording a second time by itself. It would also do so after a stream error
	// that leaves the outcome open.
	req, err := http.NewRequestWithContext(handed.watch(ctx), http.MethodPost, c.base.String()+submitPath, io.NopCloser(handed))
	if err != nil {
		return Job{}, &Error{Op: opSubmit, Kind: KindNetwork, Err: err}
	}
	req.ContentLength = u.size
	req.Header.Set("Content-Type", u.contentType)
	body, status, after, e := c.do(req, opSubmit, "")
	job := Job{}
	if e == nil {
		job, e = submitAnswer(body, status, handed.sent(), after)
	} else if e.Kind == KindNetwork && handed.sent() && !unprocessed(e.Err) {
		e.Kind, e.Hint = KindInDoubt, hintInDoubt
	}
	c.account(refused, e)
	return job, e
}

// account records whether the API accepts the key and the account. refused is the refusal that the request retested, or nil.
func (c *Client) account(refused *refusal, e *Error) {
	switch {
	case e != nil && e.Kind.Class() == ClassAccount:
		before := c.refused.Swap(&refusal{err: e, at: c.opt.Clock.Now()})
		if before != nil && before.err.Kind == e.Kind {
			return
		}
		text := "analysis API rejects the key, submissions stopped"
		if e.Kind == KindNoCredit {
			text = "analysis account has no credit, submissions stopped"
		}
		c.opt.Log.Error(text, "status", e.Status, "asked_again_after", c.opt.KeyRetry, "hint", e.Hint)
	case e == nil && refused != nil && c.refused.CompareAndSwap(refused, nil):
		c.opt.Log.Info("analysis API accepts the key again")
	}
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

// submitAnswer parses the answer to an upload. An answer of success that names no job leaves an upload in doubt: a server
// accepted it, possibly the API.
func submitAnswer(body []byte, status int, sent bool, after time.Duration) (Job, *Error) {
	if e := statusError(opSubmit, status, sent, body, after); e != nil {
		return Job{}, e
	}
	job, ok := parseJob(body)
	if ok && job.ID != "" { // a result without an id may be that of a cache, or of a server in front of the API
		return job, nil
	}
	e := &Error{
		Op:      opSubmit,
		Kind:    KindInvalidAnswer,
		Status:  status,
		Message: printable(string(body)),
		Retry:   true,
		Err:     errors.New("the answer has no job id"),
	}
	if sent {
		e.Kind = KindInDoubt
	}
	return Job{}, e
}

var errOtherJob = errors.New("the answer is about another job")

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
	c.observe(Event{Op: opPoll, Err: e, Took: c.opt.Clock.Now().Sub(start)})
	return job, e
}

func (c *Client) ask(ctx context.Context, id string) (Job, *Error) {
	if !validID(id) {
		return Job{}, &Error{Op: opPoll, Kind: KindInvalidAnswer, Err: fmt.Errorf("%q is not a job id", printable(id))}
	}
	ctx, cancel := context.WithTimeout(ctx, c.opt.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+jobPath+url.PathEscape(id), nil)
	if err != nil {
		return Job{}, &Error{Op: opPoll, Kind: KindNetwork, JobID: id, Err: err}
	}
	body, status, after, e := c.do(req, opPoll, id)
	if e != nil {
		return Job{}, e
	}
	if e := statusError(opPoll, status, false, body, after); e != nil {
		e.JobID = id
		return Job{}, e
	}
	job, ok := parseJob(body)
	if !ok || job.Status == "" || job.ID != "" && job.ID != id {
		e := &Error{
			Op:      opPoll,
			Kind:    KindInvalidAnswer,
			JobID:   id,
			Status:  status,
			Message: printable(string(body)),
			Retry:   true,
		}
		if ok && job.ID != "" && job.ID != id {
			e.Err = errOtherJob
		}
		return Job{}, e
	}
	if job.ID == "" {
		job.ID = id
	}
	return job, nil
}

// probeID is no job of the API. Its answer shows that the API answers, and costs nothing.
const probeID = "callscreen-probe"

// Probe asks the API about a job that does not exist. It returns nil if the API answers, also if it rejects the key. Nothing is
// submitted.
func (c *Client) Probe(ctx context.Context) error {
	_, e := c.ask(ctx, probeID)
	if e == nil || errors.Is(e, errOtherJob) || e.Status >= 400 && e.Status < 500 && e.Status != http.StatusRequestTimeout {
		return nil
	}
	return e
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

// answerMessage returns the message of an error page, shortened: the field message of JSON, otherwise the text.
func answerMessage(body []byte) string {
	if job, ok := parseJob(body); ok {
		return job.Message
	}
	return printable(string(body))
}
