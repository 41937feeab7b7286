package screen

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"callscreen/capture"
	"callscreen/policy"
)

// The states of a segment.
const (
	StateRecorded  = "recorded"  // cut, not sent yet
	StateSubmitted = "submitted" // the API knows it
	StateScored    = "scored"
	StateFailed    = "failed"
	StateSkipped   = "skipped"
)

// Call gathers what is known of one call. It is safe for concurrent use.
type Call struct {
	id, file  string
	metadata  map[string]string
	policy    policy.Policy
	simulated bool

	mu       sync.Mutex
	legs     map[string]*legState
	segments []*Segment
	warnings []string
	ended    bool
	open     int           // segments that are not settled
	settled  chan struct{} // closed once the call has ended and no segment is open
}

type legState struct {
	duration, lost time.Duration
	submitted      int // segments that were worth an analysis
}

// Segment is one segment of a call on its way to a score. Its fields are guarded by the call's lock.
type Segment struct {
	call     *Call
	report   SegmentReport
	ordinal  int // among the segments of its leg that were worth an analysis; -1 for a skipped one
	speech   time.Duration
	finished bool
}

// CallConfig says what a call is.
type CallConfig struct {
	ID        string
	File      string            // where it was read from, if it was
	Metadata  map[string]string // for the overrides of the policy
	Policy    policy.Policy
	Simulated bool // the analysis is a stand-in, which the report must say
}

// NewCall makes a call without any legs.
func NewCall(cfg CallConfig) *Call {
	return &Call{
		id:        cfg.ID,
		file:      cfg.File,
		metadata:  maps.Clone(cfg.Metadata),
		policy:    cfg.Policy,
		simulated: cfg.Simulated,
		legs:      map[string]*legState{},
		settled:   make(chan struct{}),
	}
}

// ID is the name of the call.
func (c *Call) ID() string { return c.id }

// simulate notes that a score is made up, which the report must say.
func (c *Call) simulate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.simulated = true
}

// Warn notes something about the recording that a reader of the report should know.
func (c *Call) Warn(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, text)
}

// Progress notes how much of a leg was taken in, and how much of that never arrived.
func (c *Call) Progress(leg string, duration, lost time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.leg(leg)
	l.duration, l.lost = duration, lost
}

func (c *Call) leg(name string) *legState {
	l := c.legs[name]
	if l == nil {
		l = &legState{}
		c.legs[name] = l
	}
	return l
}

// Add notes a segment that was cut from a leg.
func (c *Call) Add(leg string, seg capture.Segment) *Segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &Segment{
		call: c, ordinal: -1, speech: seg.SpeechDuration(),
		report: SegmentReport{
			Leg:      leg,
			Seq:      seg.Seq,
			Offset:   Seconds(seg.Offset()),
			Duration: Seconds(seg.Duration()),
			Speech:   Seconds(seg.SpeechDuration()),
			Lost:     Seconds(seg.LostDuration()),
			State:    StateRecorded,
		},
	}
	c.segments = append(c.segments, s)
	l := c.leg(leg)
	if seg.Skipped != "" {
		s.report.State, s.report.Reason, s.finished = StateSkipped, seg.Skipped, true
		return s
	}
	s.ordinal = l.submitted
	l.submitted++
	c.open++
	return s
}

// End notes that no more segments will come.
func (c *Call) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.settle()
}

// Settled is closed once the call has ended and every segment has its score or has failed.
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

// update changes what is known of a segment, and settles it if its state is final.
func (s *Segment) update(change func(*SegmentReport)) {
	s.call.mu.Lock()
	defer s.call.mu.Unlock()
	if s.finished {
		return
	}
	change(&s.report)
	if s.report.State == StateScored || s.report.State == StateFailed {
		s.finished = true
		s.call.open--
		s.call.settle()
	}
}

// Report is what is known of the segment now.
func (s *Segment) Report() SegmentReport {
	s.call.mu.Lock()
	defer s.call.mu.Unlock()
	return s.report
}

func (s *Segment) finding() policy.Finding {
	f := policy.Finding{Leg: s.report.Leg, Seq: s.ordinal, Speech: s.speech, Reason: s.report.Reason}
	switch s.report.State {
	case StateScored:
		f.State, f.Score = policy.Scored, *s.report.Score
	case StateFailed:
		f.State = policy.Failed
	case StateSkipped:
		f.State = policy.Skipped
	}
	return f
}

// Report is what is known of the call now. Segments that have no score yet may still change the decision, and make it
// inconclusive until then.
func (c *Call) Report() Report { return c.report(true) }

// ReportSoFar is the same for a call in progress: the decision is about what was analysed so far.
func (c *Call) ReportSoFar() Report { return c.report(false) }

func (c *Call) report(pending bool) Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	var findings []policy.Finding
	for _, s := range c.segments {
		if f := s.finding(); pending || f.State != policy.Pending {
			findings = append(findings, f)
		}
	}
	r := assemble(c.policy, c.metadata, findings, c.legs)
	r.Call, r.File, r.Simulated, r.Warnings = c.id, c.file, c.simulated, slices.Clone(c.warnings)
	for _, s := range c.segments {
		r.Segments = append(r.Segments, s.report)
	}
	slices.SortStableFunc(r.Segments, func(a, b SegmentReport) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Leg, b.Leg), cmp.Compare(a.Seq, b.Seq))
	})
	return r
}

// assemble is the report of a call as far as the policy and the legs tell it.
func assemble(p policy.Policy, metadata map[string]string, findings []policy.Finding, legs map[string]*legState) Report {
	d := p.Decide(findings, metadata)
	r := Report{
		Decision:  d.Outcome.String(),
		Review:    d.Review,
		Score:     d.Score,
		Threshold: d.Threshold,
		Reasons:   d.Reasons,
		Speech:    Seconds(d.Speech),
		Analysed:  Seconds(d.Analysed),
		Legs:      []LegReport{},
		Segments:  []SegmentReport{},
	}
	decided := map[string]policy.LegDecision{}
	for _, l := range d.Legs {
		decided[l.Leg] = l
	}
	for _, name := range slices.Sorted(maps.Keys(legs)) {
		state, l := legs[name], decided[name]
		leg := LegReport{
			Leg:       name,
			Decision:  l.Outcome.String(),
			Ignored:   l.Ignored,
			Reasons:   l.Reasons,
			Score:     l.Score,
			Threshold: l.Threshold,
			Duration:  Seconds(state.duration),
			Speech:    Seconds(l.Speech),
			Analysed:  Seconds(l.Analysed),
			Lost:      Seconds(state.lost),
		}
		if _, heard := decided[name]; !heard || l.Ignored {
			leg.Decision, leg.Ignored, leg.Reasons = policy.OutcomeInconclusive.String(), true, []string{policy.ReasonTooLittleSpeech}
			leg.Threshold = p.For(name, metadata).Threshold
		}
		r.Legs = append(r.Legs, leg)
		r.Duration = max(r.Duration, leg.Duration)
		r.Lost += leg.Lost
	}
	return r
}
