package analyzer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Analyze submits a recording, retries transient errors, and waits for the score. onJob may be nil. Analyze calls it as
// soon as the job has an id, so that a caller who stops can continue with Wait later and is not charged again.
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
				e.Hint = "it may have been charged; it is not sent again, see analysis.resend_in_doubt"
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

// Wait polls a job until it is finished or the deadline has passed. The first poll comes after PollInitial; later
// intervals grow up to PollMax. A job that failed or has no valid score is an error.
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

// notFoundTries is the number of consecutive 404 answers that are tolerated: a new job may need a moment to become
// visible.
const notFoundTries = 4

var errNotDone = errors.New("not finished yet")

// wait also returns the time between the last poll that saw the job unfinished and the one that saw it finished.
func (c *Client) wait(ctx context.Context, id string) (job Job, polls int, gap time.Duration, err error) {
	unfinished := c.opt.Clock.Now()
	// Wait before the first poll too: no job finishes at once.
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

// retry calls try with growing intervals until it succeeds, fails permanently, or the deadline passes.
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

// pacing is an exponential backoff with a deadline. It waits longer if the API asked for it.
type pacing struct {
	*backoff.ExponentialBackOff
	clock    Clock
	deadline time.Time
	least    time.Duration
	most     time.Duration
	atLeast  time.Duration // from Retry-After of the last answer
}

func (c *Client) pace() *pacing {
	return &pacing{
		ExponentialBackOff: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(c.opt.PollInitial),
			backoff.WithMaxInterval(c.opt.PollMax),
			backoff.WithRandomizationFactor(0.2), // so that jobs do not poll in step
			backoff.WithMaxElapsedTime(0),
			backoff.WithClockProvider(c.opt.Clock),
		),
		clock:    c.opt.Clock,
		deadline: c.opt.Clock.Now().Add(c.opt.Deadline),
		least:    c.opt.PollInitial,
		most:     c.opt.PollMax,
	}
}

// NextBackOff returns the next interval, or backoff.Stop.
func (p *pacing) NextBackOff() time.Duration {
	d := min(max(p.ExponentialBackOff.NextBackOff(), p.least), p.most)
	left := p.deadline.Sub(p.clock.Now())
	if left <= 0 || p.atLeast > left {
		return backoff.Stop
	}
	return min(max(d, p.atLeast), left) // the last try is at the deadline
}
