package analyzer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Analyze submits a recording, trying again where that makes sense, and waits for its score. onJob, which may be nil, is
// called as soon as the job has an id, so that a caller who stops in between can go on with Wait and need not pay again.
func (c *Client) Analyze(ctx context.Context, audio Audio, onJob func(id string)) (Result, error) {
	var job Job
	doubted, resent := false, false
	err := c.retry(ctx, "submit", "", func() *Error {
		resent = resent || doubted
		var e *Error
		job, e = c.submit(ctx, audio, doubted)
		if e == nil {
			return nil
		}
		if e.Kind == KindInDoubt {
			if doubted || c.opt.NeverResend {
				e.Retry = false
				e.Hint = "it may have been paid for; it is not sent again, see analysis.resend_in_doubt"
			}
			doubted = true
		}
		return e
	})
	if err != nil {
		return Result{Resent: resent}, err
	}
	if job.ID != "" && onJob != nil {
		onJob(job.ID)
	}
	polls, gap := 0, time.Duration(0)
	if !job.Done() {
		if job, polls, gap, err = c.wait(ctx, job.ID); err != nil {
			return Result{JobID: job.ID, Polls: polls, Resent: resent}, err
		}
	}
	result, e := job.result()
	result.Polls, result.Gap, result.Resent = polls, gap, resent
	if e != nil {
		return result, e
	}
	return result, nil
}

// Wait asks about a job, at first after PollInitial and then less and less often, until it is finished or the deadline
// has passed. A job that failed, or has no valid score, is an error.
func (c *Client) Wait(ctx context.Context, id string) (Result, error) {
	job, polls, gap, err := c.wait(ctx, id)
	if err != nil {
		return Result{JobID: id, Polls: polls}, err
	}
	result, e := job.result()
	result.Polls, result.Gap = polls, gap
	if e != nil {
		return result, e
	}
	return result, nil
}

// notFoundTries is how often a job may be unknown in a row: it may take the API a moment to know what it has accepted.
const notFoundTries = 4

var errNotDone = errors.New("not finished yet")

// wait also tells how long after it was last seen unfinished the job was known to be finished.
func (c *Client) wait(ctx context.Context, id string) (job Job, polls int, gap time.Duration, err error) {
	unfinished := c.opt.Clock.Now()
	// The first poll comes after a wait too: nothing is ever finished at once.
	if err := c.sleep(ctx, c.opt.PollInitial); err != nil {
		return Job{ID: id}, 0, 0, canceled("poll", id, err)
	}
	unknown := 0
	err = c.retry(ctx, "poll", id, func() *Error {
		polls++
		asked := c.opt.Clock.Now()
		var e *Error
		job, e = c.poll(ctx, id)
		switch {
		case e == nil && job.Done():
			gap = c.opt.Clock.Now().Sub(unfinished)
			return nil
		case e == nil:
			unknown, unfinished = 0, asked
			return &Error{
				Op:    "poll",
				Kind:  KindTimeout,
				JobID: id,
				Retry: true,
				Err:   fmt.Errorf("%w, its status is %q", errNotDone, printable(string(job.Status))),
			}
		case e.Kind == KindJobNotFound:
			unknown++
			e.Retry = unknown < notFoundTries
		default:
			unknown = 0
		}
		return e
	})
	if job.ID == "" {
		job.ID = id
	}
	return job, polls, gap, err
}

// retry calls op with growing waits in between until it succeeds, fails for good, or the deadline passes.
func (c *Client) retry(ctx context.Context, op, id string, try func() *Error) error {
	pace := c.pace()
	var last *Error
	err := backoff.RetryNotifyWithTimer(func() error {
		if last = try(); last == nil {
			return nil
		}
		if ctx.Err() != nil || !last.Retry {
			return backoff.Permanent(last)
		}
		pace.atLeast = last.RetryAfter
		return last
	}, backoff.WithContext(pace, ctx), nil, &timer{clock: c.opt.Clock})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return canceled(op, id, context.Cause(ctx))
	case last != nil && last.Retry: // the deadline has passed
		return &Error{
			Op:     op,
			Kind:   KindTimeout,
			JobID:  id,
			Status: last.Status,
			Err:    fmt.Errorf("gave up after %v: %w", c.opt.Deadline, last),
		}
	case last != nil:
		return last
	}
	return err
}

func canceled(op, id string, cause error) *Error {
	return &Error{Op: op, Kind: KindCanceled, JobID: id, Err: cause}
}

func (c *Client) sleep(ctx context.Context, d time.Duration) error {
	ch, stop := c.opt.Clock.After(d)
	defer stop()
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) observe(e Event) {
	if c.opt.Observe != nil {
		c.opt.Observe(e)
	}
}

// pacing is an exponential backoff within the bounds of the polling, that ends at a deadline and waits longer when it
// was told to.
type pacing struct {
	*backoff.ExponentialBackOff
	clock    Clock
	deadline time.Time
	least    time.Duration
	most     time.Duration
	atLeast  time.Duration // what the last answer asked for
}

func (c *Client) pace() *pacing {
	return &pacing{
		ExponentialBackOff: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(c.opt.PollInitial),
			backoff.WithMaxInterval(c.opt.PollMax),
			backoff.WithRandomizationFactor(0.2), // so that many jobs do not ask in step
			backoff.WithMaxElapsedTime(0),
			backoff.WithClockProvider(c.opt.Clock),
		),
		clock:    c.opt.Clock,
		deadline: c.opt.Clock.Now().Add(c.opt.Deadline),
		least:    c.opt.PollInitial,
		most:     c.opt.PollMax,
	}
}

// NextBackOff is how long to wait, or backoff.Stop.
func (p *pacing) NextBackOff() time.Duration {
	d := min(max(p.ExponentialBackOff.NextBackOff(), p.least), p.most)
	left := p.deadline.Sub(p.clock.Now())
	if left <= 0 || p.atLeast > left {
		return backoff.Stop
	}
	return min(max(d, p.atLeast), left) // the last try falls on the deadline
}
