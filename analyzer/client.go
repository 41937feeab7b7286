package analyzer

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Options are what a Client can be told. Zero values mean the defaults.
type Options struct {
	// BaseURL is where the API is. Default https://api.dataspike.io.
	BaseURL string
	// HTTPClient carries the requests. Its CheckRedirect and Jar are not used. Default: a client of its own.
	HTTPClient *http.Client
	// UserAgent is what the requests call themselves. Default "callscreen".
	UserAgent string
	// PollInitial and PollMax bound the wait between two polls, which grows exponentially. Default 1 s and 3 s.
	PollInitial, PollMax time.Duration
	// Deadline is how long a submission may take with all its retries, and then how long a job may take. Default 2 min.
	Deadline time.Duration
	// RequestTimeout bounds a single request. Default 30 s.
	RequestTimeout time.Duration
	// NeverResend makes Analyze fail, rather than send the recording once more, when it is not known whether the API
	// accepted an upload. The recording is then paid for at most once, and may be paid for without a result.
	NeverResend bool
	// KeyRetry is how long after the API has refused the key the next submission asks it again; those in between fail at
	// once. Default: it is never asked again.
	KeyRetry time.Duration
	// Clock is used for all waiting and for dates. Default: the machine's.
	Clock Clock
	// Observe, if not nil, is called after each submission and each poll, from the goroutine that made it. One that was not
	// sent, because the recording or the key is no good, counts too.
	Observe func(Event)
	// Log gets what an operator must know. Default: nothing is logged.
	Log *slog.Logger
}

// Event is a submission or a poll, and what came of it.
type Event struct {
	Op   string // "submit" or "poll"
	Err  *Error // nil if there was a usable answer
	Took time.Duration
	// Resend tells that this submission repeats one that the API may have accepted: it may be paid for twice.
	Resend bool
}

// Client uses the API with one key. It is safe for concurrent use, and no goroutine outlives a call of it.
type Client struct {
	opt     Options
	key     func() string // not a field, which %+v of the client would show
	base    *url.URL
	http    *http.Client
	refused atomic.Pointer[refusal] // the key was not accepted: nothing is submitted any more, or not for a while
}

// refusal is that the API did not accept the key.
type refusal struct {
	err *Error
	at  time.Time
}

// New makes a client.
func New(key Key, opts *Options) (*Client, error) {
	c := &Client{key: func() string { return string(key) }}
	if opts != nil {
		c.opt = *opts
	}
	if key == "" || strings.ContainsFunc(string(key), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key is empty or holds characters that no key has (hint: check DATASPIKE_API_KEY)")
	}
	def(&c.opt.BaseURL, "https://api.dataspike.io")
	def(&c.opt.UserAgent, "callscreen")
	def(&c.opt.PollInitial, time.Second)
	def(&c.opt.PollMax, max(3*time.Second, c.opt.PollInitial))
	def(&c.opt.Deadline, 2*time.Minute)
	def(&c.opt.RequestTimeout, 30*time.Second)
	if c.opt.Clock == nil {
		c.opt.Clock = machineClock{}
	}
	if c.opt.Log == nil {
		c.opt.Log = slog.New(slog.DiscardHandler)
	}
	base, err := url.Parse(strings.TrimRight(c.opt.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, fmt.Errorf("the base URL %q of the API is no web address (hint: https://api.dataspike.io)", c.opt.BaseURL)
	}
	c.base = base
	c.http = &http.Client{}
	if c.opt.HTTPClient != nil {
		c.http.Transport, c.http.Timeout = c.opt.HTTPClient.Transport, c.opt.HTTPClient.Timeout
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own := t.Clone()
		own.MaxIdleConnsPerHost = 32 // as many uploads as are usual at a time keep their connections
		c.http.Transport = own
	}
	// net/http would carry our header to any host it is sent to, and turn a redirected upload into a GET.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// CloseIdleConnections closes the connections that are kept for later requests.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Result is a finished analysis.
type Result struct {
	JobID   string
	Score   float64 // 0..1, higher is more likely synthetic
	Verdict string
	Polls   int
	// Gap is from when the job was last known to be unfinished, the begin of the wait at the earliest, to when it was known
	// to be finished: the API does not say when it finished, but the result is known at most so late.
	Gap time.Duration
	// Simulated tells that the score is made up by the stand-in of package simulator, and means nothing.
	Simulated bool
	Resent    bool // the recording was sent twice, because the first upload may have been lost; it may be paid for twice
}

// result turns a finished job into a result or an error.
func (j Job) result() (Result, *Error) {
	switch {
	case j.Status == StatusFailed:
		return Result{}, &Error{
			Op:      "poll",
			Kind:    KindJobFailed,
			JobID:   j.ID,
			Code:    j.ErrorCode,
			Message: j.Message,
		}
	case math.IsNaN(j.Score):
		return Result{}, &Error{
			Op:    "poll",
			Kind:  KindInvalidScore,
			JobID: j.ID,
			Err:   errors.New("the job is completed without a score within 0..1"),
		}
	}
	return Result{JobID: j.ID, Score: j.Score, Verdict: j.Verdict, Simulated: j.Simulated}, nil
}
