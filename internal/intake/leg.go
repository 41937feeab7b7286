package intake

import (
	"context"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/internal/screen"
)

// Departure is the way in which a session ended.
type Departure = screen.Departure

// The departures.
const (
	HungUp = screen.HungUp
	Closed = screen.Closed
	Lost   = screen.Lost
)

// LegSession is one sender's stay on a leg of a call.
type LegSession struct {
	intake  *Intake
	session *screen.LiveSession
	request Request
	joined  time.Time
}

// Record reads the packets of a track to its end. negotiated holds the codecs of the payload types. The error is
// capture.ErrTakenOver when a newer session of the same sender records the leg.
func (l *LegSession) Record(ctx context.Context, track capture.Track, negotiated ...webrtc.RTPCodecParameters) error {
	return l.record(ctx, l.request.Leg, track, negotiated...)
}

func (l *LegSession) record(ctx context.Context, leg string, track capture.Track, negotiated ...webrtc.RTPCodecParameters) error {
	l.intake.hold(l)
	return l.session.Record(ctx, leg, track, negotiated...)
}

// SenderReport takes an RTCP sender report.
func (l *LegSession) SenderReport(sr *rtcp.SenderReport) { l.session.SenderReport(sr) }

// LastPacket returns the arrival of the last packet, zero before the first.
func (l *LegSession) LastPacket() time.Time { return l.session.LastPacket() }

// Close ends the stay.
func (l *LegSession) Close(how Departure) {
	l.intake.release(l)
	l.intake.cfg.Log.Info("leg left", "call", l.request.Call, "leg", l.request.Leg, "how", how.String())
	l.intake.cfg.Observe(screen.Step{
		Name:  screen.StepIngest,
		Call:  l.request.Call,
		Part:  l.session.Call().Begun().Part,
		Leg:   l.request.Leg,
		Start: l.joined,
		End:   time.Now(),
	})
	l.session.Leave(how)
}
