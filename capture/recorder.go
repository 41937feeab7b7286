package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// ReasonBacklog is the reason of a segment whose audio was dropped because too many segments waited for Next.
const ReasonBacklog = "backlog"

// Track is the part of *webrtc.TrackRemote that a Recorder uses.
type Track interface {
	Codec() webrtc.RTPCodecParameters
	Read(b []byte) (n int, attributes interceptor.Attributes, err error)
	SetReadDeadline(time.Time) error
}

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
	Rate      int           // Hz
	Duration  time.Duration // of the leg, gaps included
	Lost      time.Duration // of it, never arrived
	Paused    time.Duration // of it, discarded by Pause
	Recording bool          // a track is being read
	Start     time.Time     // of the leg, by the clock of the sender; zero without a sender report
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

// recording is a leg that outlives its tracks.
type recording struct {
	mu        sync.Mutex
	leg       *Leg
	segmenter *Segmenter
	tap       *tap
	rate      int
	busy      bool // a track is being read
}

// tap is the sink of a leg in front of its segmenter. While the leg is paused it replaces audio by silence.
type tap struct {
	*Segmenter
	shut      bool
	discarded int64
}

func (t *tap) Write(pcm []int16) {
	if t.shut {
		t.Gap(int64(len(pcm)), false)
		return
	}
	t.Segmenter.Write(pcm)
}

func (t *tap) Conceal(pcm []int16) {
	if t.shut {
		t.Gap(int64(len(pcm)), false)
		return
	}
	t.Segmenter.Conceal(pcm)
}

func (t *tap) Gap(samples int64, lost bool) {
	if t.shut {
		t.discarded += samples
		lost = false
	}
	t.Segmenter.Gap(samples, lost)
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

// Record reads a track until it or the context ends, and records it as a leg. The leg may be recorded again afterwards
// from another track: it goes on, with a gap for the time in between. A leg has at most one track at a time.
//
// negotiated is the list receiver.GetParameters().Codecs. RED, telephone-event and comfort noise need it: without it only
// packets of the track's own payload type are understood.
//
// Record returns nil when the track ends, and the cause of the context when that ends. A codec that cannot be decoded is
// an error of this leg alone.
func (r *Recorder) Record(ctx context.Context, leg string, track Track, negotiated ...webrtc.RTPCodecParameters) error {
	rec, err := r.open(leg, track.Codec(), negotiated)
	if err != nil {
		return fmt.Errorf("record leg %s: %w", leg, err)
	}
	defer r.close(leg, rec)
	// A pending read ends with the context.
	stop := context.AfterFunc(ctx, func() { _ = track.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		if err := track.SetReadDeadline(r.cfg.Now().Add(tickEvery)); err != nil {
			return fmt.Errorf("record leg %s: %w", leg, err)
		}
		n, _, err := track.Read(buf)
		now := r.cfg.Now()
		rec.mu.Lock()
		if n > 0 && err == nil {
			rec.leg.Push(buf[:n], now)
		}
		rec.leg.Tick(now)
		rec.mu.Unlock()
		r.fetch(leg, rec)
		switch {
		case err == nil || isTimeout(err):
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
			return nil
		case ctx.Err() == nil:
			return fmt.Errorf("record leg %s: %w", leg, err)
		}
	}
	return context.Cause(ctx)
}

// isTimeout reports whether a read ended by its deadline. pion has its own error for that.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// tickEvery is the interval of Tick while no packets arrive.
const tickEvery = 100 * time.Millisecond

// open prepares the leg for a track.
func (r *Recorder) open(name string, codec webrtc.RTPCodecParameters, negotiated []webrtc.RTPCodecParameters) (*recording, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, errors.New("the call has ended")
	}
	rec := r.legs[name]
	if rec == nil {
		rec = &recording{}
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.busy {
		return nil, errors.New("the leg has a track already")
	}
	types, rate, err := r.payloadTypes(name, codec, negotiated)
	if err != nil {
		return nil, err
	}
	if rec.leg == nil {
		if err := rec.start(r.cfg, rate, types); err != nil {
			return nil, err
		}
	} else {
		if rate != rec.rate {
			return nil, fmt.Errorf("the leg was recorded at %d Hz and cannot go on at %d Hz (hint: offer the same codec again)", rec.rate, rate)
		}
		rec.leg.Renegotiate(types)
	}
	rec.busy = true
	r.legs[name] = rec
	return rec, nil
}

func (rec *recording) start(cfg RecorderConfig, rate int, types map[uint8]PayloadType) error {
	vad, err := cfg.NewVAD(rate)
	if err != nil {
		return err
	}
	segment := cfg.Segment
	segment.Rate = rate
	segmenter, err := NewSegmenter(vad, segment)
	if err != nil {
		return err
	}
	t := &tap{Segmenter: segmenter}
	leg, err := NewLeg(LegConfig{Rate: rate, PayloadTypes: types, Wait: cfg.Wait}, t)
	if err != nil {
		return err
	}
	rec.leg, rec.segmenter, rec.tap, rec.rate = leg, segmenter, t, rate
	return nil
}

// close ends a track. The speech so far is cut if it is enough. The leg may go on.
func (r *Recorder) close(name string, rec *recording) {
	rec.mu.Lock()
	rec.leg.Flush()
	rec.tap.Pause()
	rec.busy = false
	rec.mu.Unlock()
	r.fetch(name, rec)
}

// fetch moves the segments of a leg to the queue of Next.
func (r *Recorder) fetch(name string, rec *recording) {
	rec.mu.Lock()
	var cut []Segment
	for seg, ok := rec.segmenter.Next(); ok; seg, ok = rec.segmenter.Next() {
		cut = append(cut, seg)
	}
	rec.mu.Unlock()
	if len(cut) == 0 {
		return
	}
	r.mu.Lock()
	for _, seg := range cut {
		if seg.PCM != nil && r.held >= r.cfg.Backlog {
			r.dropped++
			seg.PCM, seg.Voiced, seg.Skipped = nil, nil, ReasonBacklog
		}
		if seg.PCM != nil {
			r.held++
		}
		r.ready = append(r.ready, LegSegment{Leg: name, Segment: seg})
	}
	r.mu.Unlock()
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
	if r.ended {
		r.mu.Unlock()
		return
	}
	legs := make(map[string]*recording, len(r.legs))
	for name, rec := range r.legs {
		legs[name] = rec
	}
	r.mu.Unlock()
	for name, rec := range legs {
		rec.mu.Lock()
		rec.leg.Flush()
		rec.segmenter.Flush()
		rec.mu.Unlock()
		r.fetch(name, rec)
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	r.notify()
}

// Pause discards the audio of a leg from now on, as while a payment card number is read out. The time goes on. Pause
// returns false if there is no such leg. Pausing a paused leg changes nothing.
func (r *Recorder) Pause(leg string) bool { return r.shut(leg, true) }

// Resume ends a pause. Audio of the pause that is still buffered is discarded too. It returns false if there is no such leg.
func (r *Recorder) Resume(leg string) bool { return r.shut(leg, false) }

func (r *Recorder) shut(name string, shut bool) bool {
	r.mu.Lock()
	rec := r.legs[name]
	r.mu.Unlock()
	if rec == nil {
		return false
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	rec.leg.Flush() // held packets belong to the time before
	rec.tap.shut = shut
	return true
}

// Dropped returns the number of segments that lost their audio because too many waited for Next.
func (r *Recorder) Dropped() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}

// SenderReport passes the timestamps of an RTCP sender report to a leg.
func (r *Recorder) SenderReport(leg string, ssrc uint32, ntp time.Time, ts uint32) {
	r.mu.Lock()
	rec := r.legs[leg]
	r.mu.Unlock()
	if rec != nil {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.leg.SenderReport(ssrc, ntp, ts)
	}
}

// Stats returns the state of each leg by its name.
func (r *Recorder) Stats() map[string]LegStats {
	r.mu.Lock()
	legs := make(map[string]*recording, len(r.legs))
	for name, rec := range r.legs {
		legs[name] = rec
	}
	r.mu.Unlock()
	out := make(map[string]LegStats, len(legs))
	for name, rec := range legs {
		rec.mu.Lock()
		start, _ := rec.leg.Start()
		out[name] = LegStats{
			Packets:   rec.leg.Stats(),
			Rate:      rec.rate,
			Duration:  Duration(rec.segmenter.Position(), rec.rate),
			Lost:      Duration(rec.segmenter.Lost(), rec.rate),
			Paused:    Duration(rec.tap.discarded, rec.rate),
			Recording: rec.busy,
			Start:     start,
		}
		rec.mu.Unlock()
	}
	return out
}
