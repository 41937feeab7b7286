package screen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"callscreen/internal/hook/event"
	"callscreen/internal/report"
	"callscreen/internal/store"
	"callscreen/policy"
)

// DeciderConfig describes a Decider.
type DeciderConfig struct {
	Store         *store.Store
	Policy        policy.Policy
	PolicyVersion int64
	// KeepAudio is the retention of the audio after the end of a call, by outcome.
	KeepAudio map[string]time.Duration
	// Subscribers returns the names of the endpoints that subscribe to an event. It may be nil.
	Subscribers func(event string) []string
	// OnCommit, if not nil, is called after a change of a call was committed.
	OnCommit func(call string)
	// OnSettled, if not nil, is called after a segment was settled.
	OnSettled func(call string, s report.SegmentReport)
	// Observe, if not nil, gets each decision once it is committed.
	Observe func(Step)
	Now     func() time.Time
}

// Decider decides calls, each in the transaction that changes what the decision depends on. It is safe for concurrent
// use, also by several nodes.
type Decider struct {
	cfg   DeciderConfig
	using sync.Mutex // serialises changes of rules
	rules atomic.Pointer[rules]
}

// NewDecider returns a Decider.
func NewDecider(cfg DeciderConfig) *Decider {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Subscribers == nil {
		cfg.Subscribers = func(string) []string { return nil }
	}
	d := &Decider{cfg: cfg}
	d.rules.Store(&rules{})
	d.UsePolicy(cfg.Policy, cfg.PolicyVersion)
	return d
}

// committed reports a commit, and the decision that was announced with it, if any.
func (d *Decider) committed(call string, decided *Step) {
	if decided != nil {
		decided.End = d.cfg.Now()
		observe(d.cfg.Observe, *decided)
	}
	if d.cfg.OnCommit != nil {
		d.cfg.OnCommit(call)
	}
}

// Progress stores the progress of a part of a call, and decides the call if that ended it.
func (d *Decider) Progress(ctx context.Context, p store.Part) error {
	_, err := d.progress(ctx, p, func(*store.Tx) (bool, error) { return true, nil })
	return err
}

// progress is Progress if may, in the same transaction, returns true. It reports whether it did.
func (d *Decider) progress(ctx context.Context, p store.Part, may func(*store.Tx) (bool, error)) (done bool, err error) {
	var decided *Step
	err = d.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		var err error
		if done, err = may(tx); err != nil || !done {
			return err
		}
		c, err := tx.Begin(ctx, p)
		if err != nil {
			return err
		}
		if err := tx.Progress(ctx, &c, p); err != nil {
			return err
		}
		decided, err = d.decide(ctx, tx, &c)
		return err
	})
	if err != nil || !done {
		return false, err
	}
	d.committed(p.Call, decided)
	return true, nil
}

// Recorded stores a segment with the job that analyses it.
func (d *Decider) Recorded(ctx context.Context, p store.Part, g store.SegmentRow) error {
	return d.recorded(ctx, p, g, false)
}

// recorded is Recorded for a segment that may have been stored before, in a database that has lost it. The audit says so: an
// upload of before may be repeated.
func (d *Decider) recorded(ctx context.Context, p store.Part, g store.SegmentRow, again bool) error {
	lost, decided := false, (*Step)(nil)
	err := d.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		c, err := tx.Begin(ctx, p)
		if err != nil {
			return err
		}
		added, err := tx.AddSegment(ctx, g)
		if err != nil || !added {
			return err
		}
		if again {
			line := store.Line{
				At:      d.cfg.Now(),
				Actor:   "machine",
				What:    store.AuditRecovered,
				Call:    g.Call,
				Segment: g.ID,
			}
			if err := tx.Audit(ctx, line); err != nil {
				return err
			}
		}
		if err := tx.Legs(ctx, p); err != nil {
			return err
		}
		if !g.Settled() {
			if err := tx.Wake(ctx, g.ID, g.AudioNode); err != nil {
				return err
			}
			if c.State == store.CallLive {
				return nil // the segment has no result that could change the decision
			}
		}
		if lost = g.State == store.SegmentFailed; lost {
			if err := d.settled(ctx, tx, g, store.Settlement{State: g.State, Reason: g.Reason, Detail: g.Detail, At: d.cfg.Now()}); err != nil {
				return err
			}
		}
		decided, err = d.decide(ctx, tx, &c)
		return err
	})
	if err != nil {
		return err
	}
	if lost && d.cfg.OnSettled != nil {
		d.cfg.OnSettled(g.Call, segmentReport(g, 0))
	}
	d.committed(p.Call, decided)
	return nil
}

// Settle stores the result of a segment and decides its call. also runs in the same transaction. The error is
// store.ErrSettled if the segment was settled before.
func (d *Decider) Settle(ctx context.Context, g store.SegmentRow, r store.Settlement, also func(*store.Tx) error) error {
	var decided *Step
	err := d.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		c, err := tx.LockCall(ctx, g.Call)
		if err != nil {
			return err
		}
		if err := tx.Settle(ctx, g.ID, r); err != nil {
			return err
		}
		c.Simulated = c.Simulated || r.Simulated
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		if err := d.settled(ctx, tx, g, r); err != nil {
			return err
		}
		decided, err = d.decide(ctx, tx, &c)
		return err
	})
	if err != nil {
		return err
	}
	if d.cfg.OnSettled != nil {
		g.State, g.Reason, g.Detail, g.Score, g.Verdict, g.Simulated = r.State, r.Reason, r.Detail, r.Score, r.Verdict, r.Simulated
		d.cfg.OnSettled(g.Call, segmentReport(g, time.Duration(0)))
	}
	d.committed(g.Call, decided)
	return nil
}

// Hold makes a segment wait for a person and decides its call. It does not change a segment that waits already.
func (d *Decider) Hold(ctx context.Context, g store.SegmentRow, detail string) error {
	var decided *Step
	err := d.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		c, err := tx.LockCall(ctx, g.Call)
		if err != nil {
			return err
		}
		if held, err := tx.Hold(ctx, g, detail, d.cfg.Now()); err != nil || !held {
			return err
		}
		decided, err = d.decide(ctx, tx, &c)
		return err
	})
	if err == nil {
		d.committed(g.Call, decided)
	}
	return err
}

// Resend has a segment that waits for a person sent once more, by order of a person. The error is store.ErrNotFound unless the
// segment waits.
func (d *Decider) Resend(ctx context.Context, segment, who string) error {
	g, err := d.cfg.Store.Segment(ctx, segment)
	if err != nil {
		return err
	}
	var decided *Step
	err = d.cfg.Store.InTx(ctx, func(tx *store.Tx) error {
		c, err := tx.LockCall(ctx, g.Call)
		if err != nil {
			return err
		}
		if err := tx.OrderResend(ctx, segment, who, d.cfg.Now()); err != nil {
			return err
		}
		decided, err = d.decide(ctx, tx, &c)
		return err
	})
	if err == nil {
		d.committed(g.Call, decided)
	}
	return err
}

// decide updates the summary of a locked call. A decision that stands is announced, once, and returned.
func (d *Decider) decide(ctx context.Context, tx *store.Tx, c *store.Call) (*Step, error) {
	start := d.cfg.Now()
	segments, err := tx.Segments(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	parts, err := tx.Parts(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	ended := c.State == store.CallEnded
	r, open, version := d.judge(c, parts, segments, ended)
	var before report.Report
	if len(c.Summary) > 0 {
		if err := json.Unmarshal(c.Summary, &before); err != nil {
			return nil, fmt.Errorf("summary of call %s: %w", c.ID, err)
		}
	}
	flagged := policy.OutcomeFlagged.String()
	if c.Published == flagged && r.Decision != flagged { // only a person clears a flag
		r.Decision, r.Review, r.Score, r.Threshold, r.Reasons = flagged, true, before.Score, before.Threshold, before.Reasons
		version = c.PolicyVersion
	}
	if c.Published == flagged {
		keepFlags(&r, before)
	}
	earlier, err := d.lateOutcome(ctx, tx, c, parts, segments)
	if err != nil {
		return nil, err
	}
	carryLate(earlier, &r)
	carry(c, &r)
	open += earlier.open
	c.Final = r.Decision == flagged || ended && open == 0
	news := c.Final && c.Published != r.Decision
	if c.Final && !news && r.Decision == flagged {
		if news, err = worse(ctx, tx, c.ID, before, r, segments); err != nil {
			return nil, err
		}
	}
	if c.Published == flagged && !news && version != c.PolicyVersion { // the flag stands by the policy that set it
		r.Score, r.Threshold, r.Reasons, version = before.Score, before.Threshold, before.Reasons, c.PolicyVersion
	}
	c.Decision, c.Review, c.Score, c.PolicyVersion = r.Decision, r.Review, r.Score, version
	if c.Summary, err = json.Marshal(r); err != nil {
		return nil, err
	}
	now := d.cfg.Now()
	previous := c.Published
	if news && previous == "" && c.Decisions > 0 { // the first decision of another call with this id
		if previous, err = tx.LastOutcome(ctx, c.ID); err != nil {
			return nil, err
		}
	}
	if news {
		c.Published, c.DecidedAt = r.Decision, now
		c.Decisions++
	}
	c.AudioUntil = nil
	if c.Final && ended && slices.ContainsFunc(segments, func(g store.SegmentRow) bool { return g.AudioKey != "" }) {
		keep, err := d.keepAudio(ctx, tx, c, r.Decision)
		if err != nil {
			return nil, err
		}
		until := c.EndedAt.Add(keep)
		c.AudioUntil = &until
	}
	if err := tx.SaveCall(ctx, c); err != nil || !news {
		return nil, err
	}
	decided := &Step{
		Name:     StepDecide,
		Call:     c.ID,
		Began:    c.StartedAt,
		Start:    start,
		Decision: r.Decision,
		Heard:    heard(segments),
		First:    c.Decisions == 1,
	}
	return decided, d.announce(ctx, tx, c, r, previous)
}

// keepAudio returns how long the audio of a call is kept after its end. Earlier calls with its id have their audio under the
// same id: the longest retention of all outcomes counts.
func (d *Decider) keepAudio(ctx context.Context, tx *store.Tx, c *store.Call, outcome string) (time.Duration, error) {
	keep := d.cfg.KeepAudio[outcome]
	if c.Number <= 1 {
		return keep, nil
	}
	earlier, err := tx.Outcomes(ctx, c.ID)
	for _, o := range earlier {
		keep = max(keep, d.cfg.KeepAudio[o])
	}
	return keep, err
}

// announce stores a new decision with its review, its webhook message and its audit line.
func (d *Decider) announce(ctx context.Context, tx *store.Tx, c *store.Call, r report.Report, previous string) error {
	if err := tx.AddDecision(ctx, store.Decision{
		Call:          c.ID,
		Seq:           c.Decisions,
		At:            c.DecidedAt,
		Outcome:       r.Decision,
		Score:         r.Score,
		Threshold:     r.Threshold,
		Reasons:       r.Reasons,
		PolicyVersion: c.PolicyVersion,
		Previous:      previous,
	}); err != nil {
		return err
	}
	if r.Review {
		if err := tx.OpenReview(ctx, c.ID, c.DecidedAt); err != nil {
			return err
		}
	}
	name := map[string]string{"flagged": event.CallFlagged, "clear": event.CallCleared, "inconclusive": event.CallInconclusive}[r.Decision]
	if to := d.cfg.Subscribers(name); len(to) > 0 {
		r.Segments = nil
		announced := d.live(*c, r)
		announced.Previous = previous
		if err := addMessage(ctx, tx, name, c.ID, fmt.Sprint(c.Decisions), c.DecidedAt, announced, to); err != nil {
			return err
		}
	}
	return tx.Audit(ctx, store.Line{
		At:     c.DecidedAt,
		Actor:  "machine",
		What:   store.AuditDecided,
		Call:   c.ID,
		Policy: c.PolicyVersion,
		Detail: store.Detail{
			"decision":  r.Decision,
			"seq":       c.Decisions,
			"reasons":   r.Reasons,
			"score":     r.Score,
			"threshold": r.Threshold,
			"review":    r.Review,
			"previous":  previous,
		},
	})
}

// errGone marks a segment that needs no more work.
var errGone = errors.New("the segment is settled or erased")
