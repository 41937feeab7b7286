package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// ErrTakenOver is returned by Record and Join when another track takes over the leg.
var ErrTakenOver = errors.New("taken over by a newer track")

// Track is the part of *webrtc.TrackRemote that a Recorder uses.
type Track interface {
	Codec() webrtc.RTPCodecParameters
	Read(b []byte) (n int, attributes interceptor.Attributes, err error)
	SetReadDeadline(time.Time) error
}

// session is a track that is being recorded.
type session struct {
	rec     *recording
	epoch   uint64
	formats *formats
}

// tickEvery is the interval of Tick while no packets arrive.
const tickEvery = 100 * time.Millisecond

// Record reads a track until it or the context ends, and records it as a leg. A track that is recorded as the leg already
// is taken over: its Record returns ErrTakenOver. The caller decides beforehand whether the new sender may do that, and
// calls Refuse otherwise. Refuse also books the packets that a track still gets after it was taken over.
//
// After its track has ended a leg may go on with another one, at another codec or rate, with a gap for the time in between.
//
// negotiated is the list receiver.GetParameters().Codecs. RED, telephone-event, comfort noise and a change of the codec
// need it: without it only packets of the track's own payload type are understood.
//
// Record returns nil when the track ends, and the cause of the context when that ends. If no codec can be decoded it
// returns an error at once, of this leg alone.
func (r *Recorder) Record(ctx context.Context, leg string, track Track, negotiated ...webrtc.RTPCodecParameters) error {
	return r.record(ctx, leg, track, negotiated, true)
}

// Join records a further track of the sender that is recorded as a leg already, without taking it over. While both send,
// the packets of the one with the newer SSRC are heard; see Ledger for the others.
func (r *Recorder) Join(ctx context.Context, leg string, track Track, negotiated ...webrtc.RTPCodecParameters) error {
	return r.record(ctx, leg, track, negotiated, false)
}

func (r *Recorder) record(
	ctx context.Context,
	leg string,
	track Track,
	negotiated []webrtc.RTPCodecParameters,
	takeOver bool,
) error {
	s, err := r.begin(leg, track, negotiated, takeOver)
	if err != nil {
		return fmt.Errorf("record leg %s: %w", leg, err)
	}
	defer r.finish(leg, s)
	err = r.read(ctx, track, func(packet []byte, now time.Time) error {
		rec := s.rec
		rec.mu.Lock()
		taken := rec.epoch != s.epoch
		switch {
		case taken && packet != nil:
			rec.books.outside++
			rec.books.unrecord(UnrecordedLegBusy, 1, defaultPacket)
		case packet != nil:
			rec.leg.push(packet, now, s.formats)
		}
		rec.leg.Tick(now)
		rec.mu.Unlock()
		if taken {
			return ErrTakenOver
		}
		r.fetch(leg, rec)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("record leg %s: %w", leg, err)
	}
	return err
}

// Refuse reads a track until it or the context ends, and books its packets as unrecorded. Its errors are those of Record.
func (r *Recorder) Refuse(ctx context.Context, leg string, track Track, reason Reason) error {
	rec := r.recording(leg)
	var last time.Time
	err := r.read(ctx, track, func(packet []byte, now time.Time) error {
		if packet == nil {
			return nil
		}
		d := defaultPacket
		if since := now.Sub(last); !last.IsZero() && since > d {
			d = min(since, 10*d)
		}
		last = now
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.books.outside++
		rec.books.unrecord(reason, 1, d)
		if rec.leg != nil {
			at := rec.leg.positionAt(now)
			rec.books.span(reason, at, at+d)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("refuse a track of leg %s: %w", leg, err)
	}
	return err
}

// read calls take for each packet of a track, and with nil at least every tickEvery, until the track or the context ends or
// take returns an error.
func (r *Recorder) read(ctx context.Context, track Track, take func(packet []byte, now time.Time) error) error {
	// A pending read ends with the context.
	stop := context.AfterFunc(ctx, func() { _ = track.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, maxDatagram)
	for ctx.Err() == nil {
		if err := track.SetReadDeadline(r.cfg.Now().Add(tickEvery)); err != nil {
			return err
		}
		n, _, err := track.Read(buf)
		var packet []byte
		if n > 0 { // with an error of pion if its payload type was not negotiated, which is booked
			packet, err = buf[:n], nil
		}
		if err := take(packet, r.cfg.Now()); err != nil {
			return err
		}
		switch {
		case err == nil || isTimeout(err):
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe):
			return nil
		case ctx.Err() == nil:
			return err
		}
	}
	return context.Cause(ctx)
}

// maxDatagram is the largest packet that is read whole: a UDP datagram over jumbo frames.
const maxDatagram = 9000

// isTimeout reports whether a read ended by its deadline. pion has its own error for that.
func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// begin prepares a leg for a track.
func (r *Recorder) begin(
	name string,
	track Track,
	negotiated []webrtc.RTPCodecParameters,
	takeOver bool,
) (*session, error) {
	rec := r.recording(name)
	types, rate, err := r.payloadTypes(name, track.Codec(), negotiated)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return nil, errors.New("the call has ended")
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.leg == nil {
		if err := rec.start(r.cfg, rate, types); err != nil {
			return nil, err
		}
	}
	if takeOver || rec.tracks == 0 {
		rec.epoch++
		rec.leg.Flush()
		for _, wake := range rec.wake {
			wake()
		}
		rec.wake = map[*session]func(){}
	}
	s := &session{rec: rec, epoch: rec.epoch, formats: rec.leg.register(types)}
	rec.wake[s] = func() { _ = track.SetReadDeadline(time.Unix(1, 0)) }
	rec.tracks++
	return s, nil
}

// finish ends a track. If it was the last one, the speech so far is cut if it is enough. The leg may go on.
func (r *Recorder) finish(name string, s *session) {
	rec := s.rec
	rec.mu.Lock()
	delete(rec.wake, s)
	rec.tracks--
	if rec.epoch == s.epoch && len(rec.wake) == 0 {
		rec.leg.Flush()
		rec.sink.Pause()
	}
	rec.mu.Unlock()
	r.fetch(name, rec)
}
