package intake

import (
	"context"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/internal/screen"
)

// Leg is one sender's stay on a leg of a call.
type Leg struct {
	cfg     Config
	call    *screen.LiveCall
	request Request
	joined  time.Time
}

// Record reads the packets of a track to its end. negotiated is what the payload types mean.
func (l *Leg) Record(ctx context.Context, track capture.Track, negotiated ...webrtc.RTPCodecParameters) error {
	return l.call.Record(ctx, l.request.Leg, track, negotiated...)
}

// SenderReport takes an RTCP sender report.
func (l *Leg) SenderReport(sr *rtcp.SenderReport) {
	for _, name := range l.request.Legs() {
		l.call.Recorder().SenderReport(name, sr)
	}
}

// LastPacket returns the arrival of the last packet, zero before the first.
func (l *Leg) LastPacket() (last time.Time) {
	stats := l.call.Recorder().Stats()
	for _, name := range l.request.Legs() {
		if at := stats[name].Packets.LastPacket; at.After(last) {
			last = at
		}
	}
	return last
}

// Close ends the stay. lost reports that the sender did not hang up: the call then waits longer for the leg to come back.
func (l *Leg) Close(lost bool) {
	l.cfg.Log.Info("leg left", "call", l.request.Call, "leg", l.request.Leg, "lost", lost)
	l.cfg.Observe(screen.Step{
		Name:  screen.StepIngest,
		Call:  l.request.Call,
		Part:  l.call.Begun().Part,
		Leg:   l.request.Leg,
		Start: l.joined,
		End:   time.Now(),
	})
	l.call.Leave(lost)
}
