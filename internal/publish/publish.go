package publish

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Options say what is published where.
type Options struct {
	// To is a WHIP endpoint: http://HOST/whip/CALL/LEG. With several calls, or where it holds {n}, the call id gets the
	// number of the call.
	To    string
	Token string
	// Calls is how many calls are made at a time. 0 means 1.
	Calls int
	// Ramp is the time between the beginnings of two calls.
	Ramp       time.Duration
	Impairment Impairment
	Client     *http.Client // nil means one of its own
	// Listening, if not nil, is called with the address at which Bridge listens, once it does.
	Listening func(net.Addr)
	// Progress, if not nil, is called when the numbers have changed, from several goroutines.
	Progress func(Summary)

	once sync.Once
	own  *http.Client
}

func (o *Options) client() *http.Client {
	if o.Client != nil {
		return o.Client
	}
	o.once.Do(func() {
		o.own = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: 20 * time.Second}
	})
	return o.own
}

// linger is how long the last packets of a call may be on their way, so that its end does not overtake them.
func (o *Options) linger() time.Duration { return o.Impairment.Jitter + 200*time.Millisecond }

// Check says what is wrong with where it is to be sent.
func (o *Options) Check() error {
	_, err := target(o.To, 1, max(o.Calls, 1))
	return err
}

// Summary counts what was published.
type Summary struct {
	Calls     int
	Connected int
	Finished  int
	Packets   int64
	// Reconnects counts how often Bridge began a session anew that had broken.
	Reconnects int
	Unsent     Unsent  // what came in by RTP and was not sent on
	Errors     []error // one for each call that was not published to its end
}

// Run publishes the recording as all the calls, and returns when the last has ended. The error says that the options
// cannot be used; what happened to single calls is in the summary.
func Run(ctx context.Context, media *Media, opt *Options) (Summary, error) {
	calls := max(opt.Calls, 1)
	targets := make([]string, calls)
	for i := range targets {
		t, err := target(opt.To, i+1, calls)
		if err != nil {
			return Summary{}, err
		}
		targets[i] = t
	}
	sum := Summary{Calls: calls}
	servers, err := opt.servers(ctx, targets[0])
	if err != nil {
		sum.Errors = append(sum.Errors, err)
		return sum, nil
	}
	var mu sync.Mutex
	var sent atomic.Int64
	change := func(f func()) {
		mu.Lock()
		f()
		sum.Packets = sent.Load()
		now := sum
		mu.Unlock()
		if opt.Progress != nil {
			opt.Progress(now)
		}
	}
	var all sync.WaitGroup
	for i, t := range targets {
		if i > 0 && opt.Ramp > 0 {
			select {
			case <-time.After(opt.Ramp):
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			p := player{media: media, seed: uint64(i + 1), sent: &sent, linger: opt.linger()}
			s := session{
				opt:     opt,
				codec:   media.Codec,
				target:  t,
				servers: servers,
				seed:    uint64(i + 1),
				ready:   func() { change(func() { sum.Connected++ }) },
				play:    p.play,
			}
			err := s.run(ctx)
			change(func() {
				if err != nil {
					sum.Errors = append(sum.Errors, fmt.Errorf("call %d: %w", i+1, err))
				} else {
					sum.Finished++
				}
			})
		})
	}
	all.Wait()
	opt.client().CloseIdleConnections()
	sum.Packets = sent.Load()
	if ctx.Err() != nil {
		sum.Errors = append(sum.Errors, context.Cause(ctx))
	}
	return sum, nil
}

// target is where call n of so many goes.
func target(to string, n, calls int) (string, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is no web address (hint: --to http://HOST:PORT/whip/CALL/LEG)", to)
	}
	if strings.Contains(to, "{n}") {
		return strings.ReplaceAll(to, "{n}", fmt.Sprint(n)), nil
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return "", fmt.Errorf("%q names no call and leg (hint: --to http://HOST:PORT/whip/CALL/LEG)", to)
	}
	if calls > 1 {
		parts[len(parts)-2] += fmt.Sprintf("-%d", n)
		u.Path = "/" + strings.Join(parts, "/")
	}
	return u.String(), nil
}

// Err joins what went wrong.
func (s Summary) Err() error { return errors.Join(s.Errors...) }
