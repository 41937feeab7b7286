package analyzer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Analyze submits a recording, retries transient errors, and waits for the score. onJob may be nil. Analyze calls it as
// soon as the job has an id, so that a caller who stops can continue with Wait later and is not charged again.
func (c *Client) Analyze(ctx context.Context, audio Audio, onJob func(id string)) (Result, error) {
	job, resent, err := c.submitUntilKnown(ctx, audio)
	if err != nil {
		return Result{Resent: resent}, err
	}
	if onJob != nil {
		onJob(job.ID)
	}
	var seen Result
	if !job.Final() {
		if job, seen, err = c.wait(ctx, job.ID); err != nil {
			seen.JobID, seen.Resent = job.ID, resent
			return seen, err
		}
	}
	seen.Resent = resent
	return job.with(seen)
}

// submitUntilKnown submits a recording until its outcome is known. An upload of unknown outcome is repeated once, and not before
// the API answers.
func (c *Client) submitUntilKnown(ctx context.Context, audio Audio) (job Job, resent bool, err error) {
	var doubt *Error
	err = c.retry(ctx, c.pace(opSubmit), opSubmit, "", func(ctx context.Context) *Error {
		if doubt != nil {
			if c.Probe(ctx) != nil {
				return doubt
			}
			resent = true
		}
		var e *Error
		if job, e = c.submit(ctx, audio, doubt != nil); e == nil {
			return nil
		}
		if e.Kind == KindInDoubt {
			e.Retry = doubt == nil && !c.opt.NeverResend
			doubt = e
		}
		return e
	})
	return job, resent, err
}

// Wait polls a job until it is finished or the deadline has passed. The first poll comes after PollInitial; later
// intervals grow up to PollMax. A job that failed, is unknown for Grace, or has no valid score for Grace, is an error.
func (c *Client) Wait(ctx context.Context, id string) (Result, error) {
	job, seen, err := c.wait(ctx, id)
	if err != nil {
		seen.JobID = id
		return seen, err
	}
	return job.with(seen)
}

// with returns the result of a finished job, with what was seen while it was polled.
func (j Job) with(seen Result) (Result, error) {
	r, e := j.result()
	seen.JobID, seen.Score, seen.Verdict, seen.Simulated = r.JobID, r.Score, r.Verdict, r.Simulated
	if e != nil {
		return seen, e
	}
	return seen, nil
}

var errNotDone = errors.New("not finished yet")

// wait polls a job until it is final. seen.Gap is the time between the last poll that saw the job unfinished and the one that
// saw it finished.
func (c *Client) wait(ctx context.Context, id string) (job Job, seen Result, err error) {
	unfinished := c.opt.Clock.Now()
	pace := c.pace(opPoll) // the wait before the first poll is a part of the deadline
	pace.learned = func() (time.Duration, bool) { return c.pacer.wait(id, rand.Float64()) }
	w := &watch{mark: unfinished}
	// Wait before the first poll too: no job finishes at once.
	if err := c.sleep(ctx, c.firstPoll(ctx, pace)); err != nil {
		return Job{ID: id}, Result{}, canceled(opPoll, id, err)
	}
	err = c.retry(ctx, pace, opPoll, id, func(ctx context.Context) *Error {
		seen.Polls++
		asked := c.opt.Clock.Now()
		c.pacer.question(id, asked)
		pace.regular = false
		var e *Error
		job, e = c.poll(ctx, id)
		now := c.opt.Clock.Now()
		switch {
		case e == nil && job.Final():
			c.pacer.finished(id)
			seen.Gap = now.Sub(unfinished)
			w.answered(now, "")
			return nil
		case e == nil && !job.Done():
			unfinished = asked
			c.pacer.unfinished(id, asked)
			pace.regular = true
			w.answered(now, "")
			return &Error{
				Op:    opPoll,
				Kind:  KindTimeout,
				JobID: id,
				Retry: true,
				Err:   fmt.Errorf("%w, its status is %q", errNotDone, printable(string(job.Status))),
			}
		case e == nil:
			_, e = job.result()
			e.Retry = w.answered(now, e.Kind) < c.opt.Grace
		case e.Kind == KindJobNotFound:
			e.Retry = w.answered(now, e.Kind) < c.opt.Grace
		default:
			w.missed(now)
		}
		return e
	})
	if w.answering {
		w.answered(c.opt.Clock.Now(), w.oddKind)
	}
	seen.Answered, seen.Odd, seen.OddKind = w.sum, w.odd, w.oddKind
	if job.ID == "" {
		job.ID = id
	}
	return job, seen, err
}

// firstPoll returns the delay before the first poll. A caller who has less time than PollInitial gets a poll too.
func (c *Client) firstPoll(ctx context.Context, pace *pacing) time.Duration {
	delay := c.opt.PollInitial
	if learned, ok := pace.learned(); ok {
		delay = learned
	}
	delay = min(delay, c.opt.Deadline/2)
	if end, ok := ctx.Deadline(); ok {
		return min(delay, max(time.Until(end)/2, 0))
	}
	return delay
}

// watch measures the time during which the API answers about a job. The time before a request without an answer does not count.
type watch struct {
	mark      time.Time // end of the last request
	answering bool      // the last request was answered
	oddKind   Kind      // of the last answer, "" if that was regular
	sum, odd  time.Duration
}

// answered books an answer and returns the time since the answers are odd.
func (w *watch) answered(now time.Time, odd Kind) time.Duration {
	d := now.Sub(w.mark)
	w.sum += d
	if odd != "" {
		w.odd += d
	} else {
		w.odd = 0
	}
	w.mark, w.answering, w.oddKind = now, true, odd
	return w.odd
}

func (w *watch) missed(now time.Time) { w.mark, w.answering = now, false }

// retry calls try with growing intervals until it succeeds, fails permanently, or the deadline passes. The context of a try ends
// at the deadline.
func (c *Client) retry(ctx context.Context, pace *pacing, op, id string, try func(context.Context) *Error) error {
	var last *Error
	err := backoff.RetryNotifyWithTimer(func() error {
		left := pace.left()
		if left <= 0 {
			return backoff.Permanent(last)
		}
		request, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		before := last
		if last = try(request); last == nil {
			return nil
		}
		if before != nil && last.Kind == KindNetwork && request.Err() != nil && ctx.Err() == nil {
			last = before // the deadline cut this request off; the answer to the one before says more
			return backoff.Permanent(last)
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
	case last != nil && last.Kind == KindInDoubt:
		doubt := *last
		doubt.Retry, doubt.Hint = false, "it may have been charged; it is not sent again, see analysis.resend_in_doubt"
		return &doubt
	case last != nil && last.Retry && last.Kind != KindJobNotFound && last.Kind != KindInvalidScore: // the deadline has passed
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
	room     time.Duration                // least time that a try gets before the deadline
	atLeast  time.Duration                // from Retry-After of the last answer
	learned  func() (time.Duration, bool) // interval by what was learned
	regular  bool                         // the last answer was that the job is not finished
}

// pace returns the pacing of an operation. An upload that is cut off by the deadline may be charged, so it gets more room.
func (c *Client) pace(op string) *pacing {
	room := c.opt.PollInitial / 2
	if op == opSubmit {
		room = min(c.opt.RequestTimeout, c.opt.Deadline/4)
	}
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
		room:     room,
	}
}

func (p *pacing) left() time.Duration { return p.deadline.Sub(p.clock.Now()) }

// NextBackOff returns the next interval, or backoff.Stop. The last try has room for its answer. The interval after it ends at the
// deadline.
func (p *pacing) NextBackOff() time.Duration {
	d := min(max(p.ExponentialBackOff.NextBackOff(), p.least), p.most)
	if p.regular {
		if learned, ok := p.learned(); ok {
			d = min(learned, p.most)
		}
	}
	left := p.left()
	if left <= 0 || p.atLeast > left {
		return backoff.Stop
	}
	d = max(d, p.atLeast)
	switch {
	case d+p.room <= left:
		return d
	case p.atLeast+p.room <= left && left > 2*p.room:
		return left - p.room
	}
	return left
}
