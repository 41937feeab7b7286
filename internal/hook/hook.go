// Package hook delivers webhooks: signed messages in the form of Standard Webhooks 1.0.0
// (https://www.standardwebhooks.com). The messages come from an outbox in the database. They are written in the same
// transaction as the change that they report.
package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"callscreen/internal/address"
	"callscreen/internal/outbound"
	"callscreen/internal/store"
	"callscreen/internal/wait"
)

// Store is the part of the database that the dispatcher needs.
type Store interface {
	ClaimDelivery(ctx context.Context, endpoint string, now time.Time, lease time.Duration) (store.Delivery, time.Time, error)
	SaveDelivery(ctx context.Context, d store.Delivery) error
	DisableEndpoint(ctx context.Context, name, reason string, now time.Time) error
	Disabled(ctx context.Context, name string) (time.Time, string, error)
	DeliveriesDue(ctx context.Context, endpoint string, now time.Time) (int, error)
}

// Config configures a dispatcher.
type Config struct {
	Store     Store
	Endpoints []Endpoint
	// Schedule holds the wait after each failed attempt. After the last one the message is a dead letter. Default: from 5
	// s to 24 h, over three days.
	Schedule  []time.Duration
	UserAgent string
	// Allow limits the destinations. The zero value permits all configured endpoints.
	Allow outbound.List
	// Observe, if not nil, is called after each attempt. err is nil if the endpoint accepted the message.
	Observe func(m store.Delivery, start, end time.Time, err error)
	// Held, if not nil, reports whether this node may work. While it may not, another node may deliver what it has claimed.
	Held func() bool
	Log  *slog.Logger
	// Due returns the time of leases and retries, which all nodes share and which does not jump. Default: Now.
	Due func() time.Time
	// Now, Random, Transport and Idle, the time between two looks for messages of other nodes, are replaced in tests. Receivers
	// compare the timestamp of a message, which is Now, with their clocks.
	Now       func() time.Time
	Random    func() float64
	Transport http.RoundTripper
	Idle      time.Duration
}

// Dispatcher delivers messages. Each endpoint has its own goroutine, so that a slow endpoint does not delay the others.
type Dispatcher struct {
	cfg    Config
	client *http.Client
	wake   map[string]chan struct{}
	retire chan struct{} // closed by Retire
	once   sync.Once

	delivered, failed, dead atomic.Int64
	underWay                atomic.Int64
}

const (
	requestTimeout = 20 * time.Second
	lease          = 90 * time.Second // of one attempt; longer than an attempt on a node that is frozen for a while
	parallel       = 2                // concurrent requests per endpoint
	saveTime       = 10 * time.Second // for one attempt to save a result
	saveAgain      = 500 * time.Millisecond
	idle           = time.Second // poll interval for messages of other nodes
)

// NewDispatcher returns a dispatcher. Run starts it.
func NewDispatcher(cfg Config) *Dispatcher {
	if cfg.Schedule == nil {
		cfg.Schedule = []time.Duration{
			5 * time.Second,
			time.Minute,
			5 * time.Minute,
			30 * time.Minute,
			2 * time.Hour,
			5 * time.Hour,
			10 * time.Hour,
			14 * time.Hour,
			20 * time.Hour,
			24 * time.Hour,
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Due == nil {
		cfg.Due = cfg.Now
	}
	if cfg.Held == nil {
		cfg.Held = func() bool { return true }
	}
	if cfg.Random == nil {
		cfg.Random = rand.Float64
	}
	if cfg.Idle == 0 {
		cfg.Idle = idle
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "callscreen"
	}
	d := &Dispatcher{cfg: cfg, wake: map[string]chan struct{}{}, retire: make(chan struct{})}
	if cfg.Transport == nil {
		transport := cfg.Allow.Transport("webhook_allow")
		transport.MaxIdleConnsPerHost = parallel
		cfg.Transport = transport
	}
	d.client = &http.Client{
		Transport: cfg.Transport,
		// Messages only go to the configured URL, so redirects are not followed.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, e := range cfg.Endpoints {
		d.wake[e.Name] = make(chan struct{}, 1)
	}
	return d
}

// Subscribers returns the names of the endpoints that subscribe to an event.
func (d *Dispatcher) Subscribers(event string) (names []string) {
	for _, e := range d.cfg.Endpoints {
		if slices.Contains(e.Events, event) {
			names = append(names, e.Name)
		}
	}
	return names
}

// Endpoints returns the names of all endpoints.
func (d *Dispatcher) Endpoints() (names []string) {
	for _, e := range d.cfg.Endpoints {
		names = append(names, e.Name)
	}
	return names
}

// Counts returns the numbers of successful attempts, failed attempts and dead letters since the start.
func (d *Dispatcher) Counts() (delivered, failed, dead int64) {
	return d.delivered.Load(), d.failed.Load(), d.dead.Load()
}

// News wakes the dispatcher: there may be a message to deliver.
func (d *Dispatcher) News() {
	for _, w := range d.wake {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// Retire makes Run return once the requests under way have ended. It begins no others.
func (d *Dispatcher) Retire() { d.once.Do(func() { close(d.retire) }) }

func (d *Dispatcher) retired() bool {
	select {
	case <-d.retire:
		return true
	default:
		return false
	}
}

// Run delivers messages until the context ends, which cuts off requests, or until Retire, which does not.
func (d *Dispatcher) Run(ctx context.Context) {
	defer d.client.CloseIdleConnections()
	var all sync.WaitGroup
	for _, e := range d.cfg.Endpoints {
		for range parallel {
			all.Go(func() { d.serve(ctx, e) })
		}
	}
	all.Wait()
}

// Flush waits until no delivery is due, or the context ends. Run must be running.
func (d *Dispatcher) Flush(ctx context.Context) {
	d.News()
	for {
		due, err := d.due(ctx)
		if err != nil || due == 0 && d.underWay.Load() == 0 {
			return
		}
		t := time.NewTimer(20 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// due counts the due deliveries to configured endpoints.
func (d *Dispatcher) due(ctx context.Context) (due int, err error) {
	for _, e := range d.cfg.Endpoints {
		n, err := d.cfg.Store.DeliveriesDue(ctx, e.Name, d.cfg.Due())
		if err != nil {
			return due, err
		}
		due += n
	}
	return due, nil
}

func (d *Dispatcher) serve(ctx context.Context, e Endpoint) {
	troubled := false
	for ctx.Err() == nil && !d.retired() {
		did, err := d.next(ctx, e)
		if err != nil && ctx.Err() == nil && !troubled {
			d.cfg.Log.Warn("reading webhook outbox failed", "endpoint", e.Name, "error", err, "hint", "it is retried")
		}
		troubled = err != nil
		if did {
			continue
		}
		t := time.NewTimer(d.cfg.Idle)
		select {
		case <-t.C:
		case <-d.wake[e.Name]:
		case <-d.retire:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// next makes the next due attempt. It reports whether there was one.
func (d *Dispatcher) next(ctx context.Context, e Endpoint) (did bool, err error) {
	d.underWay.Add(1)
	defer d.underWay.Add(-1)
	if !d.cfg.Held() {
		return false, nil
	}
	m, _, err := d.cfg.Store.ClaimDelivery(ctx, e.Name, d.cfg.Due(), lease)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	since, reason, err := d.cfg.Store.Disabled(ctx, e.Name)
	if err != nil {
		return true, errors.Join(err, d.save(ctx, m, store.DeliveryPending, d.cfg.Due().Add(idle), 0, err.Error()))
	}
	if !since.IsZero() {
		d.dead.Add(1)
		return true, d.save(ctx, m, store.DeliveryDead, time.Time{}, 0, reason)
	}
	if !d.cfg.Held() {
		// The process was frozen since the claim, or the database was. The claim is released by the node that takes over, by this
		// one when it joins again, or after the lease.
		return false, nil
	}
	start := d.cfg.Now()
	status, after, err := d.send(ctx, e, m)
	d.observe(m, start, status, err)
	switch {
	case err == nil && status >= 200 && status < 300:
		d.delivered.Add(1)
		return true, d.save(ctx, m, store.DeliveryDelivered, time.Time{}, status, "")
	case status == http.StatusGone:
		const reason = "the endpoint answered 410 Gone"
		d.cfg.Log.Error(
			"webhook endpoint disabled after 410 Gone",
			"endpoint",
			e.Name,
			"hint",
			"remove it from webhooks, or run callscreen webhooks enable",
		)
		d.dead.Add(1)
		return true, errors.Join(
			d.save(ctx, m, store.DeliveryDead, time.Time{}, status, reason),
			d.cfg.Store.DisableEndpoint(ctx, e.Name, reason, d.cfg.Now()),
		)
	case ctx.Err() != nil:
		// The process stops during the attempt. The claim is released when it leaves or starts again, or after the lease.
		return true, ctx.Err()
	}
	d.failed.Add(1)
	text := fmt.Sprintf("HTTP %d", status)
	if err != nil {
		text = err.Error()
	}
	if m.Attempts > len(d.cfg.Schedule) {
		d.dead.Add(1)
		d.cfg.Log.Error(
			"webhook delivery failed for good",
			"endpoint",
			e.Name,
			"event",
			m.Event,
			"call",
			m.Call,
			"message",
			m.ID,
			"attempts",
			m.Attempts,
			"error",
			text,
			"hint",
			"send it again with callscreen webhooks replay",
		)
		return true, d.save(ctx, m, store.DeliveryDead, time.Time{}, status, text)
	}
	wait := d.cfg.Schedule[m.Attempts-1]
	wait += time.Duration(d.cfg.Random() * 0.2 * float64(wait)) // so that messages that failed together are not retried together
	wait = max(wait, after)
	d.cfg.Log.Warn(
		"webhook delivery failed",
		"endpoint",
		e.Name,
		"event",
		m.Event,
		"call",
		m.Call,
		"attempt",
		m.Attempts,
		"again_in",
		wait.Round(time.Second),
		"error",
		text,
	)
	return true, d.save(ctx, m, store.DeliveryPending, d.cfg.Due().Add(wait), status, text)
}

func (d *Dispatcher) observe(m store.Delivery, start time.Time, status int, err error) {
	if d.cfg.Observe == nil {
		return
	}
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("HTTP %d", status)
	}
	d.cfg.Observe(m, start, d.cfg.Now(), err)
}

func (d *Dispatcher) save(ctx context.Context, m store.Delivery, state string, next time.Time, status int, text string) error {
	m.State, m.NextAt, m.LastStatus, m.LastError = state, next, status, text
	if state != store.DeliveryPending {
		m.SettledAt = d.cfg.Now()
	}
	for start := time.Now(); ; {
		// Save the result even during shutdown: a delivered message should not be delivered again.
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
		err := d.cfg.Store.SaveDelivery(once, m)
		cancel()
		if err == nil || errors.Is(err, store.ErrFenced) || ctx.Err() != nil || time.Since(start) > lease-requestTimeout-2*saveTime {
			return err
		}
		// The database may be down for a moment, or change its address.
		if wait.For(ctx, saveAgain) != nil {
			return err
		}
	}
}

// send makes one request.
func (d *Dispatcher) send(ctx context.Context, e Endpoint, m store.Delivery) (status int, after time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(m.Body))
	if err != nil {
		return 0, 0, address.Error(err)
	}
	now := d.cfg.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", d.cfg.UserAgent)
	req.Header.Set("Webhook-Id", m.ID)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", Sign(e.Secrets, m.ID, now, m.Body))
	resp, err := d.client.Do(req)
	if err != nil {
		return 0, 0, address.Error(err) // it is logged, stored and shown
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection can be reused
	return resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), now), nil
}

// retryAfter parses a Retry-After header, RFC 9110 section 10.2.3: seconds or a date. The result is at most a day.
func retryAfter(value string, now time.Time) time.Duration {
	const most = 24 * time.Hour
	if s, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64); err == nil {
		return time.Duration(min(max(s, 0), int64(most/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}
