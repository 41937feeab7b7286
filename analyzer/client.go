package analyzer

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Options configures a Client. A zero field means the default.
type Options struct {
	// BaseURL is the base URL of the API. Default: https://api.dataspike.io.
	BaseURL string
	// HTTPClient sends the requests. Its CheckRedirect and Jar are ignored. Default: an own client.
	HTTPClient *http.Client
	// UserAgent is the User-Agent header. Default: "callscreen".
	UserAgent string
	// PollInitial and PollMax are the shortest and the longest interval between two polls. The interval grows
	// exponentially, until the client has learned how long jobs take: then it asks when they are likely to be finished, no
	// sooner than PollInitial, and the first time also later than PollMax. Default: 1 s and 3 s.
	PollInitial, PollMax time.Duration
	// Deadline limits a submission with all its retries, and then the polling of the job, requests in flight included.
	// Default: 2 min.
	Deadline time.Duration
	// RequestTimeout limits a single request. Default: 30 s.
	RequestTimeout time.Duration
	// Grace is the time after which an answer that contradicts the course of a job is final: an unknown job, and a completed
	// job without a valid score. Default: 1 min.
	Grace time.Duration
	// NeverResend makes Analyze fail if the outcome of an upload is unknown, instead of sending the recording again. The
	// recording is then charged at most once, possibly without a result.
	NeverResend bool
	// KeyRetry is the time after which a rejected key or an account without credit is tried again, by the next submission.
	// Submissions before that fail at once. Default: it is never tried again.
	KeyRetry time.Duration
	// Clock is used for waiting and for dates. Default: the system clock.
	Clock Clock
	// Observe, if not nil, is called after each submission and each poll, in the goroutine of the request. It is also
	// called for a request that was not sent because the recording or the key is invalid.
	Observe func(Event)
	// Log receives messages for the operator. Default: no log.
	Log *slog.Logger
}

// DefaultGrace is the default of Options.Grace.
const DefaultGrace = time.Minute

// Event is a submission or a poll, with its result.
type Event struct {
	Op   string // "submit" or "poll"
	Err  *Error // nil if there was a usable answer
	Took time.Duration
	// Resend reports that this submission repeats one that the API may have accepted. It may be charged twice.
	Resend bool
}

// Client calls the API with one key. It is safe for concurrent use. Its methods leave no goroutine behind.
type Client struct {
	opt     Options
	key     func() string // a func, so that %+v of the client does not print the key
	base    *url.URL
	http    *http.Client
	refused atomic.Pointer[refusal] // set while the API rejects the key
	pacer   *pacer
}

// refusal records that the API rejected the key.
type refusal struct {
	err *Error
	at  time.Time
}

// New returns a client.
func New(key Key, opts *Options) (*Client, error) {
	c := &Client{key: func() string { return string(key) }}
	if opts != nil {
		c.opt = *opts
	}
	if key == "" || strings.ContainsFunc(string(key), func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the API key is empty or contains invalid characters (hint: check DATASPIKE_API_KEY)")
	}
	def(&c.opt.BaseURL, "https://api.dataspike.io")
	def(&c.opt.UserAgent, "callscreen")
	def(&c.opt.PollInitial, time.Second)
	def(&c.opt.PollMax, max(3*time.Second, c.opt.PollInitial))
	def(&c.opt.Deadline, 2*time.Minute)
	def(&c.opt.RequestTimeout, 30*time.Second)
	def(&c.opt.Grace, DefaultGrace)
	if c.opt.Clock == nil {
		c.opt.Clock = machineClock{}
	}
	if c.opt.Log == nil {
		c.opt.Log = slog.New(slog.DiscardHandler)
	}
	base, err := url.Parse(strings.TrimRight(c.opt.BaseURL, "/"))
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" || base.User != nil {
		return nil, errors.New("the base URL of the API is not an http or https URL without credentials (hint: https://api.dataspike.io)")
	}
	c.base = base
	c.pacer = newPacer(c.opt.PollInitial, c.opt.PollMax, c.opt.Clock.Now)
	c.http = &http.Client{}
	if c.opt.HTTPClient != nil {
		c.http.Transport, c.http.Timeout = c.opt.HTTPClient.Transport, c.opt.HTTPClient.Timeout
	} else if t, ok := http.DefaultTransport.(*http.Transport); ok {
		own := t.Clone()
		own.Proxy = proxy
		own.MaxIdleConnsPerHost = 32 // keeps the connections of the usual number of concurrent uploads
		c.http.Transport = own
	}
	// net/http would send the key to the target of a redirect, and turn a redirected upload into a GET.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// proxy returns the proxy of the environment. The error of net/http would repeat its address, with the password.
func proxy(r *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(r)
	if err != nil {
		return nil, errors.New("the proxy of the environment is not a web address (hint: check HTTPS_PROXY and HTTP_PROXY)")
	}
	return u, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Learned returns what the client has learned about the times that jobs take, for Learn of a later client.
func (c *Client) Learned() ([]byte, error) { return c.pacer.snapshot() }

// Learn takes up what an earlier client had learned.
func (c *Client) Learn(data []byte) error { return c.pacer.restore(data) }

// CloseIdleConnections closes idle connections.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Result is the result of a finished analysis.
type Result struct {
	JobID   string
	Score   float64 // 0..1, higher is more likely synthetic
	Verdict string
	Polls   int
	// Gap is the time between the last moment when the job was known to be unfinished and the moment when it was known to
	// be finished. The API does not report when a job finished; Gap is the upper limit of the detection delay.
	Gap time.Duration
	// Answered is the time during which the API answered about the job. It is also set beside an error. Odd is the last part
	// of it, during which the API did not know the job, or reported it as completed without a valid score.
	Answered, Odd time.Duration
	// OddKind is KindJobNotFound or KindInvalidScore if Odd is not 0.
	OddKind Kind
	// Simulated reports that the score comes from package simulator and has no relation to the voice.
	Simulated bool
	Resent    bool // the recording was sent twice, because the outcome of the first upload is unknown
}

// result converts a finished job to a result or an error.
func (j Job) result() (Result, *Error) {
	switch {
	case j.Status == StatusFailed:
		return Result{}, &Error{
			Op:      opPoll,
			Kind:    KindJobFailed,
			JobID:   j.ID,
			Code:    j.ErrorCode,
			Message: j.Message,
		}
	case math.IsNaN(j.Score):
		return Result{}, &Error{
			Op:    opPoll,
			Kind:  KindInvalidScore,
			JobID: j.ID,
			Err:   errors.New("the completed job has no score within 0..1"),
		}
	}
	return Result{JobID: j.ID, Score: j.Score, Verdict: j.Verdict, Simulated: j.Simulated}, nil
}
