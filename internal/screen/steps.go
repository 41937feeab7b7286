package screen

import (
	"time"

	"callscreen/internal/store"
)

// The steps of the pipeline that can be observed.
const (
	StepIngest  = "ingest"  // recording of a leg
	StepSegment = "segment" // from the cut of a segment until the database has it
	StepSubmit  = "submit"  // upload of a segment
	StepPoll    = "poll"    // polling of its job, until that is finished or must give way to others
	StepDecide  = "decide"  // decision of a call
	StepWebhook = "webhook" // attempt to deliver a webhook message
)

// Step is one completed step of the pipeline.
type Step struct {
	Name       string
	Call       string
	Part       int64 // 0 if the step concerns the call as a whole, which then began at Began
	Began      time.Time
	Start, End time.Time
	Err        error // nil on success
	Leg        string
	Segment    string

	Resend bool          // of StepSubmit: an earlier upload may have been accepted and paid for
	Done   bool          // of StepPoll: the job is finished
	Polls  int           // of StepPoll
	Gap    time.Duration // of StepPoll: the longest time since the job finished
	// Decision is the outcome of StepDecide. Heard is when the first segment with speech began, zero if there is none.
	Decision string
	Heard    time.Time
	First    bool // of StepDecide: the first decision of the call
}

// observe hands a step to an observer, which may be nil.
func observe(to func(Step), s Step) {
	if to != nil {
		to(s)
	}
}

// segmentStep returns a step about a segment.
func segmentStep(name string, g store.SegmentRow, start, end time.Time, err error) Step {
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

// heard returns when the first segment with speech began.
func heard(segments []store.SegmentRow) (first time.Time) {
	for _, g := range segments {
		if at := time.UnixMilli(g.Part).Add(g.Offset); g.Speech > 0 && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}
