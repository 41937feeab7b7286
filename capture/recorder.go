package capture

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// ReasonBacklog is the reason of a segment whose audio was dropped because too many segments waited for Next.
const ReasonBacklog = string(UnrecordedBacklog)

// RecorderConfig configures a Recorder.
type RecorderConfig struct {
	// NewDecoder returns a decoder for a leg and the media type of its codec, such as "audio/opus". With package encode:
	//
	//	func(_, mimeType string) (capture.Decoder, error) { return encode.NewRTPDecoder(mimeType, -1) }
	NewDecoder func(leg, mimeType string) (Decoder, error)
	// NewVAD returns a detector for audio at a rate in Hz. With package capture/vad:
	//
	//	func(rate int) (capture.VAD, error) { return vad.New(rate, nil) }
	NewVAD func(rate int) (VAD, error)
	// Segment sets how legs are cut. Its Rate is ignored: each leg is cut at the rate of its decoder.
	Segment SegmenterConfig
	// Wait is the time to wait for a missing packet. Default 400 ms.
	Wait time.Duration
	// Backlog bounds the segments with audio that wait for Next. Further ones lose their audio and are reported as skipped.
	// Default 64.
	Backlog int
	// Now returns the current time. Default time.Now.
	Now func() time.Time
}

// LegSegment is a segment with the name of its leg.
type LegSegment struct {
	Leg string
	Segment
}

// LegStats describes a leg so far.
type LegStats struct {
	Packets   Stats
	Rate      int           // Hz; 0 until the leg is recorded
	Duration  time.Duration // of the leg, gaps included
	Lost      time.Duration // of it, never arrived, not decoded, or between two senders; see Ledger
	Paused    time.Duration // of it, discarded by Pause
	Recording bool          // a track is being read
	Start     time.Time     // of the leg, by the clock of the sender; zero without a sender report
	// Heard is the time of each Sound that the detector found, gaps counted as Silence.
	Heard [Noise + 1]time.Duration
}

// Recorder records the legs of one call. All methods are safe for concurrent use. It starts no goroutine: Record runs on
// that of its caller.
type Recorder struct {
	cfg RecorderConfig

	mu      sync.Mutex
	legs    map[string]*recording
	ready   []LegSegment
	held    int // of them, with audio
	dropped uint64
	ended   bool
	news    chan struct{} // capacity 1: a segment is ready, or the call has ended
}

// NewRecorder returns a recorder without legs.
func NewRecorder(cfg RecorderConfig) (*Recorder, error) {
	if cfg.NewDecoder == nil || cfg.NewVAD == nil {
		return nil, errors.New("recorder: NewDecoder and NewVAD must be set")
	}
	if cfg.Backlog == 0 {
		cfg.Backlog = 64
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Recorder{cfg: cfg, legs: map[string]*recording{}, news: make(chan struct{}, 1)}, nil
}

// Announce registers a leg that was negotiated. It is part of Stats and Ledger from then on, although no packet of it may
// ever arrive. Record registers its leg itself.
func (r *Recorder) Announce(leg string) { r.recording(leg) }

// recording returns a leg, registered if need be.
func (r *Recorder) recording(leg string) *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.legs[leg]
	if rec == nil {
		rec = &recording{books: newBooks(), opened: r.cfg.Now()}
		r.legs[leg] = rec
	}
	return rec
}

// known returns a leg, or nil if it is not registered.
func (r *Recorder) known(leg string) *recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.legs[leg]
}

// all returns all legs by name.
func (r *Recorder) all() map[string]*recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.legs)
}

// fetch moves the segments of a leg to the queue of Next.
func (r *Recorder) fetch(name string, rec *recording) {
	rec.mu.Lock()
	cut := rec.take()
	rec.mu.Unlock()
	if len(cut) == 0 {
		return
	}
	var dropped time.Duration
	r.mu.Lock()
	for _, seg := range cut {
		if seg.PCM != nil && r.held >= r.cfg.Backlog {
			r.dropped++
			dropped += seg.audioTime()
			seg.PCM, seg.Voiced, seg.Skipped = nil, nil, ReasonBacklog
		}
		if seg.PCM != nil {
			r.held++
		}
		r.ready = append(r.ready, LegSegment{Leg: name, Segment: seg})
	}
	r.mu.Unlock()
	if dropped > 0 {
		rec.mu.Lock()
		rec.books.discard(UnrecordedBacklog, dropped)
		rec.mu.Unlock()
	}
	r.notify()
}

func (r *Recorder) notify() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// Next waits for the next segment of any leg. After End it returns io.EOF once there are no more. Only one goroutine may
// call it at a time.
func (r *Recorder) Next(ctx context.Context) (LegSegment, error) {
	for {
		r.mu.Lock()
		if len(r.ready) > 0 {
			seg := r.ready[0]
			r.ready[0] = LegSegment{}
			r.ready = r.ready[1:]
			if seg.PCM != nil {
				r.held--
			}
			r.mu.Unlock()
			return seg, nil
		}
		ended := r.ended
		r.mu.Unlock()
		if ended {
			return LegSegment{}, io.EOF
		}
		select {
		case <-r.news:
		case <-ctx.Done():
			return LegSegment{}, context.Cause(ctx)
		}
	}
}

// End ends all legs and cuts the rest of their audio. Every Record must have returned or be about to return: packets that
// arrive later are not recorded.
func (r *Recorder) End() {
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if ended {
		return
	}
	for name, rec := range r.all() {
		rec.mu.Lock()
		rec.end()
		rec.mu.Unlock()
		r.fetch(name, rec)
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.notify()
}

// Pause discards the audio of a leg from now on, as while a payment card number is read out. The time goes on. who is
// recorded in Ledger.Pauses. Pause returns false if there is no such leg. Pausing a paused leg changes nothing.
func (r *Recorder) Pause(leg, who string) bool { return r.change(leg, who, true) }

// Resume ends a pause. Audio of the pause that is still buffered is discarded too. It returns false if there is no such leg.
func (r *Recorder) Resume(leg, who string) bool { return r.change(leg, who, false) }

func (r *Recorder) change(leg, who string, pause bool) bool {
	rec := r.known(leg)
	if rec == nil {
		return false
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.pausing != pause {
		rec.change(who, pause, r.cfg.Now())
	}
	return true
}

// Dropped returns the number of segments that lost their audio because too many waited for Next.
func (r *Recorder) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// SenderReport passes an RTCP sender report to a leg, which it registers if need be. Reports of all SSRCs of the leg count:
// they show packets that never arrived.
func (r *Recorder) SenderReport(leg string, sr *rtcp.SenderReport) {
	rec := r.recording(leg)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.leg != nil {
		rec.leg.SenderReport(sr, r.cfg.Now())
		return
	}
	rec.books.source(sr.SSRC, rec.opened).report(sr, r.cfg.Now())
}

// Book adds packets of a leg that arrived and never reached Record, as from another source address.
func (r *Recorder) Book(leg string, reason Reason, packets int64, d time.Duration) {
	rec := r.recording(leg)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.books.outside += packets
	rec.books.unrecord(reason, packets, d)
}

// Discard moves the audio of a segment, which Next returned, from recorded to unrecorded, as when it cannot be stored.
func (r *Recorder) Discard(leg string, reason Reason, seg Segment) {
	rec := r.recording(leg)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.books.discard(reason, seg.audioTime())
	for _, p := range seg.Places() {
		rec.books.span(reason, Duration(p.Span.Start, seg.Rate), Duration(p.Span.End, seg.Rate))
	}
}

// Ledger returns the account of all packets of a leg, and false if there is no such leg.
func (r *Recorder) Ledger(leg string) (Ledger, bool) {
	rec := r.known(leg)
	if rec == nil {
		return Ledger{}, false
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.ledger(), true
}

// Check returns an error if the ledger of a leg does not close, which is a defect of this package.
func (r *Recorder) Check() error {
	var errs []error
	for name, rec := range r.all() {
		rec.mu.Lock()
		if err := rec.ledger().Check(); err != nil {
			errs = append(errs, &legError{name, err})
		}
		rec.mu.Unlock()
	}
	return errors.Join(errs...)
}

// Stats returns the state of each leg by its name.
func (r *Recorder) Stats() map[string]LegStats {
	legs := r.all()
	out := make(map[string]LegStats, len(legs))
	for name, rec := range legs {
		rec.mu.Lock()
		out[name] = rec.stats()
		rec.mu.Unlock()
	}
	return out
}
