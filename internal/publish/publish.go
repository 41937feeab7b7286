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

	"github.com/pion/webrtc/v4"

	"callscreen/internal/wait"
)

// Options configures a publication.
type Options struct {
	// To is a WHIP endpoint: http://HOST/whip/CALL/LEG. With several calls, the number of the call replaces {n} or is
	// appended to the call id.
	To    string
	Token string
	// Calls is the number of concurrent calls. 0 means 1.
	Calls int
	// Ramp is the time between the starts of two calls.
	Ramp       time.Duration
	Impairment Impairment
	Client     *http.Client // nil means an own client
	// Listening, if not nil, is called with the address of Bridge as soon as it listens.
	Listening func(net.Addr)
	// Progress, if not nil, is called after each change of the counts, from several goroutines.
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

// linger is the delivery time of the last packets of a call, so that its end does not overtake them.
func (o *Options) linger() time.Duration { return o.Impairment.Jitter + 200*time.Millisecond }

// Check returns an error if To is invalid.
func (o *Options) Check() error {
	_, err := target(o.To, 1, max(o.Calls, 1))
	return err
}

// Summary counts the published calls.
type Summary struct {
	Calls     int
	Connected int
	Finished  int
	Packets   int64
	// Reconnects counts the broken sessions that Bridge restarted.
	Reconnects int
	Unsent     Unsent  // received RTP that was not forwarded
	Errors     []error // one for each call that did not complete
}

// Leg is a recording that is sent as a leg. An empty name is that of Options.To.
type Leg struct {
	Name  string
	Media *Media
}

// Run publishes the recording in all calls, and returns after the last one. The error reports unusable options. Errors
// of single calls are in the summary.
func Run(ctx context.Context, media *Media, opt *Options) (Summary, error) {
	return RunLegs(ctx, []Leg{{Media: media}}, opt)
}

// RunLegs publishes legs, each in a session of its own, in all calls. Otherwise it is like Run. The summary counts sessions.
func RunLegs(ctx context.Context, legs []Leg, opt *Options) (Summary, error) {
	calls := max(opt.Calls, 1)
	var sessions []published
	for n := range calls {
		for _, leg := range legs {
			t, err := target(opt.To, n+1, calls)
			if err == nil {
				t, err = forLeg(t, leg)
			}
			if err != nil {
				return Summary{}, err
			}
			sessions = append(sessions, published{leg: leg, call: n + 1, target: t})
		}
	}
	sum := Summary{Calls: len(sessions)}
	servers, err := opt.servers(ctx, sessions[0].target)
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
	for i, p := range sessions {
		ramp := opt.Ramp
		if i == 0 || p.call == sessions[i-1].call {
			ramp = 0
		}
		if wait.For(ctx, ramp) != nil {
			break
		}
		all.Go(func() {
			play := player{media: p.leg.Media, seed: uint64(i + 1), sent: &sent, linger: opt.linger()}
			s := session{
				opt:     opt,
				codecs:  []webrtc.RTPCodecCapability{p.leg.Media.Codec},
				target:  p.target,
				servers: servers,
				seed:    uint64(i + 1),
				ready:   func() { change(func() { sum.Connected++ }) },
				play:    play.play,
			}
			err := s.run(ctx)
			change(func() {
				if err != nil {
					sum.Errors = append(sum.Errors, fmt.Errorf("%s: %w", p.name(), err))
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

// published is a session of RunLegs.
type published struct {
	leg    Leg
	call   int
	target string
}

func (p published) name() string {
	if p.leg.Name == "" {
		return fmt.Sprintf("call %d", p.call)
	}
	return fmt.Sprintf("call %d, leg %s", p.call, p.leg.Name)
}

// forLeg returns the URL of a leg: its name replaces that of the endpoint. An endpoint .../whip/CALL has none.
func forLeg(to string, leg Leg) (string, error) {
	u, err := url.Parse(to)
	if err != nil {
		return "", err
	}
	if u.Query().Has("channels") && !leg.Media.stereo() {
		return "", errors.New("channels= needs a stereo track, and the recording is sent as mono (hint: --channels split)")
	}
	if leg.Name == "" {
		return to, nil
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	parts := strings.Split(path, "/")
	if n := len(parts); n < 2 || parts[n-2] != "whip" {
		path = path[:strings.LastIndex(path, "/")]
	}
	u.RawPath = path + "/" + url.PathEscape(leg.Name)
	if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
		return "", err
	}
	return u.String(), nil
}

// target returns the URL of call n.
func target(to string, n, calls int) (string, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%q is not an http or https URL (hint: --to http://HOST:PORT/whip/CALL/LEG)", to)
	}
	if strings.Contains(to, "{n}") {
		return strings.ReplaceAll(to, "{n}", fmt.Sprint(n)), nil
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	if len(parts) < 2 {
		return "", fmt.Errorf("%q has no call and leg (hint: --to http://HOST:PORT/whip/CALL/LEG)", to)
	}
	if calls > 1 {
		parts[len(parts)-2] += fmt.Sprintf("-%d", n)
		u.Path = "/" + strings.Join(parts, "/")
	}
	return u.String(), nil
}

// Err joins the errors of all calls.
func (s Summary) Err() error { return errors.Join(s.Errors...) }
