package screen

import (
	"time"

	"callscreen/internal/store"
)

// The steps that somebody can watch.
const (
	StepIngest  = "ingest"  // a leg is recorded
	StepSegment = "segment" // from when a segment is cut until the database has it
	StepSubmit  = "submit"  // a segment is uploaded
	StepPoll    = "poll"    // its job is asked about, until it is finished or others must have their turn
	StepDecide  = "decide"  // a decision is made and written down
	StepWebhook = "webhook" // an attempt to tell somebody of it
)

// Step is something that was done about a call, and is over.
type Step struct {
	Name       string
	Call       string
	Part       int64 // 0 if it is about the call as a whole, which began at Began then
	Began      time.Time
	Start, End time.Time
	Err        error // nil if it went well
	Leg        string
	Segment    string

	Resend bool          // of StepSubmit: the first upload may have been accepted, and this one may be paid for too
	Done   bool          // of StepPoll: the job is finished
	Polls  int           // of StepPoll
	Gap    time.Duration // of StepPoll: at most so long ago the job finished
	// Decision and Heard are of StepDecide: the outcome, and when the first segment began that holds speech, zero if none.
	Decision string
	Heard    time.Time
	First    bool // of StepDecide: nothing had been decided about the call before
}

// observe tells of a step, if somebody wants to know.
func observe(to func(Step), s Step) {
	if to != nil {
		to(s)
	}
}

// segmentStep is a step that is about a segment.
func segmentStep(name string, g store.Segment, start, end time.Time, err error) Step {
	return Step{
		Name:    name,
		Call:    g.Call,
		Part:    g.Part,
		Leg:     g.Leg,
		Segment: g.ID,
		Start:   start,
		End:     end,
		Err:     err,
	}
}

// heard is when the first segment began that holds speech.
func heard(segments []store.Segment) (first time.Time) {
	for _, g := range segments {
		if at := time.UnixMilli(g.Part).Add(g.Offset); g.Speech > 0 && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
