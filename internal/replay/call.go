package replay

import (
	"maps"
	"slices"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/internal/clip"
	"callscreen/internal/report"
	"callscreen/policy"
)

// Call collects the findings of one recording. It is safe for concurrent use.
type Call struct {
	cfg CallConfig

	mu        sync.Mutex
	simulated bool
	legs      map[string]report.LegAccount
	submitted map[string]int // by leg: segments that were worth an analysis
	segments  []*PendingSegment
	warnings  []string
	ended     bool
	open      int           // segments that are not settled
	settled   chan struct{} // closed once the call has ended and no segment is open
}

// PendingSegment is one segment of a call on its way to a score. The lock of the call guards its fields.
type PendingSegment struct {
	call     *Call
	report   report.SegmentReport
	ordinal  int // among the segments of its leg that were worth an analysis; -1 for a skipped one
	speech   time.Duration
	finished bool
}

// CallConfig describes a call.
type CallConfig struct {
	ID        string
	File      string            // path of the recording
	Metadata  map[string]string // for the overrides of the policy
	Policy    policy.Policy
	Simulated bool // the analysis is a stand-in, and the report says so
}

// NewCall returns a call without legs.
func NewCall(cfg CallConfig) *Call {
	cfg.Metadata = maps.Clone(cfg.Metadata)
	return &Call{
		cfg:       cfg,
		simulated: cfg.Simulated,
		legs:      map[string]report.LegAccount{},
		submitted: map[string]int{},
		settled:   make(chan struct{}),
	}
}

// ID returns the name of the call.
func (c *Call) ID() string { return c.cfg.ID }

// simulate marks the scores of the call as made up.
func (c *Call) simulate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.simulated = true
}

// Warn adds a remark on the recording to the report.
func (c *Call) Warn(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, text)
}

// Progress replaces the account of a leg.
func (c *Call) Progress(leg string, account report.LegAccount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.legs[leg] = account
}

// Add adds a segment that was cut from a leg.
func (c *Call) Add(leg string, seg capture.Segment) *PendingSegment {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &PendingSegment{
		call: c, ordinal: -1, speech: seg.SpeechDuration(),
		report: report.SegmentReport{
			Leg:      leg,
			Seq:      seg.Seq,
			Offset:   report.Seconds(seg.Offset()),
			Duration: report.Seconds(seg.Duration()),
			Speech:   report.Seconds(seg.SpeechDuration()),
			Lost:     report.Seconds(seg.LostDuration()),
			State:    report.StateRecorded,
			Pieces:   clip.Pieces(seg),
		},
	}
	c.segments = append(c.segments, s)
	if seg.Skipped != "" {
		s.report.State, s.report.Reason, s.finished = report.StateSkipped, seg.Skipped, true
		return s
	}
	s.ordinal = c.submitted[leg]
	c.submitted[leg]++
	c.open++
	return s
}

// End marks the call as complete: no segment is added after it.
func (c *Call) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.settle()
}

// Settled returns a channel that is closed once the call has ended and every segment has its score or has failed.
func (c *Call) Settled() <-chan struct{} { return c.settled }

func (c *Call) settle() {
	if !c.ended || c.open > 0 {
		return
	}
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

// update changes the report of a segment, and settles the segment if its state is final.
func (s *PendingSegment) update(change func(*report.SegmentReport)) {
	s.call.mu.Lock()
	defer s.call.mu.Unlock()
	if s.finished {
		return
	}
	change(&s.report)
	if s.report.State == report.StateScored || s.report.State == report.StateFailed {
		s.finished = true
		s.call.open--
		s.call.settle()
	}
}

// Report returns the present report of the segment.
func (s *PendingSegment) Report() report.SegmentReport {
	s.call.mu.Lock()
	defer s.call.mu.Unlock()
	return s.report
}

func (s *PendingSegment) finding() policy.Finding {
	f := policy.Finding{Leg: s.report.Leg, Seq: s.ordinal, Speech: s.speech, Reason: s.report.Reason}
	switch s.report.State {
	case report.StateScored:
		f.State, f.Score = policy.Scored, *s.report.Score
	case report.StateFailed:
		f.State = policy.Failed
	case report.StateSkipped:
		f.State = policy.Skipped
	}
	return f
}

// Report returns the present report of the call. Segments without a score keep it from being clear.
func (c *Call) Report() report.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	findings := make([]policy.Finding, 0, len(c.segments))
	for _, s := range c.segments {
		findings = append(findings, s.finding())
	}
	r := report.Assemble(c.cfg.Policy, report.Facts{
		Findings: findings,
		Legs:     c.legs,
		Metadata: []map[string]string{c.cfg.Metadata},
	})
	r.Call, r.File, r.Simulated = c.cfg.ID, c.cfg.File, c.simulated
	r.Warnings = append(slices.Clone(c.warnings), r.Warnings...)
	for _, s := range c.segments {
		r.Segments = append(r.Segments, s.report)
	}
	report.SortSegments(r.Segments)
	return r
}
