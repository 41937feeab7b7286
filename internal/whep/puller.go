package whep

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"callscreen/internal/intake"
	"callscreen/internal/outbound"
	"callscreen/internal/problem"
)

// PullerConfig describes a Puller.
type PullerConfig struct {
	// Accept joins a leg to its call. An error of type *intake.Refusal becomes the answer.
	Accept func(ctx context.Context, r intake.Request) (PullReceiver, error)
	// Sender returns the identity behind a request.
	Sender func(*http.Request) intake.Sender
	// Permitted reports whether a client may end the pull of a leg, or answers. nil: every client may.
	Permitted   func(http.ResponseWriter, *http.Request) bool
	Max         int           // legs at a time
	MaxPerToken int           // of one sender; 0: as many
	Allow       outbound.List // media servers that legs may be pulled from
	Log         *slog.Logger
}

// PullReceiver takes the audio of a leg.
type PullReceiver interface {
	Receiver
	// Close is called once, when no Track is running.
	Close(how intake.Departure)
}

// Puller pulls legs from media servers on request. It is safe for concurrent use.
type Puller struct {
	cfg PullerConfig

	mu      sync.Mutex
	running map[[2]string]*pull // by call and leg
	closed  bool
	done    sync.WaitGroup
}

type pull struct {
	sender string
	stop   context.CancelFunc
	over   chan struct{}
}

// NewPuller returns a Puller. Close must be called.
func NewPuller(cfg PullerConfig) *Puller { return &Puller{cfg: cfg, running: map[[2]string]*pull{}} }

const requestTimeout = 20 * time.Second // of one request to the media server

// source is the media server to pull from.
type source struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func readSource(body io.Reader) (s source, err error) {
	if err := problem.DecodeJSON(body, &s); err != nil {
		return s, errors.New(`want {"url": "https://...", "token": "..."}`)
	}
	if u, err := url.Parse(s.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return s, errors.New("url is no web address")
	}
	return s, nil
}

// Start handles a request to pull a leg.
func (p *Puller) Start(w http.ResponseWriter, r *http.Request) {
	from, err := readSource(http.MaxBytesReader(w, r.Body, 16<<10))
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	announced, err := intake.Describe(r.PathValue("call"), r.PathValue("leg"), r.URL.RawQuery)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	if len(announced.Channels) > 0 {
		problem.Write(w, http.StatusBadRequest, "a pulled leg is one leg; channels is not for it")
		return
	}
	announced.Sender = p.cfg.Sender(r)
	if err := p.begin(r.Context(), announced, from); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	var refusal *intake.Refusal
	if errors.As(err, &refusal) {
		switch refusal.Kind {
		case intake.Taken:
			status = http.StatusConflict
		case intake.Limited:
			status = http.StatusTooManyRequests
		}
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((refusal.RetryAfter+time.Second-1)/time.Second)))
		}
	}
	problem.Write(w, status, err.Error())
}

// begin starts to pull a leg, which goes on when the request has ended.
func (p *Puller) begin(ctx context.Context, announced intake.Request, from source) error {
	key := [2]string{announced.Call, announced.Leg}
	p.mu.Lock()
	defer p.mu.Unlock()
	of := 0
	for _, other := range p.running {
		if other.sender == announced.Sender.Name {
			of++
		}
	}
	switch {
	case p.cfg.MaxPerToken > 0 && of >= p.cfg.MaxPerToken:
		reason := "the token pulls as many legs as it may (hint: webrtc.max_sessions_per_token)"
		return &intake.Refusal{Kind: intake.Limited, RetryAfter: 5 * time.Second, Reason: reason}
	case p.closed:
		return &intake.Refusal{RetryAfter: 10 * time.Second, Reason: "shutting down"}
	case p.running[key] != nil:
		return &intake.Refusal{Kind: intake.Taken, Reason: "the leg is being fetched already (hint: DELETE it first)"}
	case len(p.running) >= p.cfg.Max:
		return &intake.Refusal{RetryAfter: 5 * time.Second, Reason: "there are as many sessions as are allowed"}
	}
	leg, err := p.cfg.Accept(ctx, announced)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	one := &pull{sender: announced.Sender.Name, stop: stop, over: make(chan struct{})}
	p.running[key] = one
	p.done.Go(func() {
		defer close(one.over)
		err := p.run(ctx, announced, from, leg)
		stopped := errors.Is(err, context.Canceled)
		if !stopped {
			p.cfg.Log.Warn("pull ended", "call", announced.Call, "leg", announced.Leg, "error", err)
		}
		p.mu.Lock()
		delete(p.running, key)
		p.mu.Unlock()
		if stopped {
			leg.Close(intake.HungUp)
		} else {
			leg.Close(intake.Lost)
		}
	})
	return nil
}

func (p *Puller) run(ctx context.Context, announced intake.Request, from source, leg PullReceiver) error {
	transport := p.cfg.Allow.Transport("webrtc.whep_allow")
	transport.Proxy = nil // media servers are near
	client := &http.Client{Transport: transport, Timeout: requestTimeout}
	defer client.CloseIdleConnections()
	return Run(ctx, Config{
		URL:    from.URL,
		Token:  from.Token,
		Leg:    leg,
		Client: client,
		Log:    p.cfg.Log.With("call", announced.Call, "leg", announced.Leg),
	})
}

// Stop handles a request to end a pull. It answers when the pull has ended.
func (p *Puller) Stop(w http.ResponseWriter, r *http.Request) {
	if p.cfg.Permitted != nil && !p.cfg.Permitted(w, r) {
		return
	}
	p.mu.Lock()
	one := p.running[[2]string{r.PathValue("call"), r.PathValue("leg")}]
	p.mu.Unlock()
	if one == nil {
		problem.Write(w, http.StatusNotFound, "no such leg is being fetched")
		return
	}
	one.stop()
	<-one.over
	_, _ = io.WriteString(w, "")
}

// Close ends all pulls and waits for them. It accepts no new ones.
func (p *Puller) Close() {
	p.mu.Lock()
	p.closed = true
	for _, one := range p.running {
		one.stop()
	}
	p.mu.Unlock()
	p.done.Wait()
}
