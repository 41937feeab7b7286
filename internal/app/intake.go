package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/screen"
	"callscreen/internal/whip"
)

// intake leads WHIP sessions to the calls they belong to.
type intake struct{ app *App }

// Open implements whip.Intake.
func (i intake) Open(_ context.Context, s whip.Session) (whip.Leg, error) {
	if err := i.app.spool.Room(); err != nil {
		i.app.opt.Log.Error("a call is not recorded", "call", s.Call, "leg", s.Leg, "error", err)
		return nil, &whip.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: 30 * time.Second, Reason: err.Error()}
	}
	call, err := i.app.live.Join(s.Call, s.Metadata, s.Channels)
	if err != nil {
		return nil, &whip.Refusal{Status: http.StatusServiceUnavailable, RetryAfter: 10 * time.Second, Reason: err.Error()}
	}
	i.app.opt.Log.Info("a leg joined", "call", s.Call, "leg", s.Leg)
	return &leg{app: i.app, call: call, session: s, joined: time.Now()}, nil
}

// leg is a session of a call.
type leg struct {
	app     *App
	call    *screen.LiveCall
	session whip.Session
	joined  time.Time
}

// Track implements whip.Leg.
func (l *leg) Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error {
	negotiated := receiver.GetParameters().Codecs
	var reports sync.WaitGroup
	defer reports.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	reports.Go(func() { l.readReports(receiver, track) })
	defer func() { _ = receiver.SetReadDeadline(time.Unix(1, 0)) }() // ends the reading of reports
	if len(l.session.Channels) != 2 {
		return l.call.Record(ctx, l.session.Leg, track, negotiated...)
	}
	return l.two(ctx, track, negotiated)
}

// two records a stereo track that carries two parties as two legs.
func (l *leg) two(ctx context.Context, track *webrtc.TrackRemote, negotiated []webrtc.RTPCodecParameters) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	left, right := tee(ctx, track)
	var other sync.WaitGroup
	var otherErr error
	other.Go(func() {
		defer cancel()
		otherErr = l.call.Record(ctx, l.session.Channels[1], right, negotiated...)
	})
	err := l.call.Record(ctx, l.session.Channels[0], left, negotiated...)
	cancel()
	other.Wait()
	if errors.Is(otherErr, context.Canceled) {
		otherErr = nil
	}
	return errors.Join(err, otherErr)
}

// readReports takes the sender's time from its reports. They must be read in any case, or the interceptors stand still.
func (l *leg) readReports(receiver *webrtc.RTPReceiver, track *webrtc.TrackRemote) {
	buf := make([]byte, 1500)
	for {
		n, _, err := receiver.Read(buf)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil {
			continue
		}
		for _, p := range packets {
			if sr, ok := p.(*rtcp.SenderReport); ok {
				for _, name := range l.legs() {
					l.call.Recorder().SenderReport(name, sr.SSRC, ntp(sr.NTPTime), sr.RTPTime)
				}
			}
		}
	}
}

func (l *leg) legs() []string {
	if len(l.session.Channels) == 2 {
		return l.session.Channels
	}
	return []string{l.session.Leg}
}

// ntp reads a timestamp of RFC 5905: seconds since 1900 and their fraction.
func ntp(t uint64) time.Time {
	const between1900And1970 = 2208988800
	return time.Unix(int64(t>>32)-between1900And1970, int64((t&0xffffffff)*1e9>>32)).UTC()
}

// LastPacket is when the session was last heard of, for the server's limit on silence.
func (l *leg) LastPacket() (last time.Time) {
	stats := l.call.Recorder().Stats()
	for _, name := range l.legs() {
		if at := stats[name].Packets.LastPacket; at.After(last) {
			last = at
		}
	}
	return last
}

// Close implements whip.Leg.
func (l *leg) Close(lost bool) {
	l.app.opt.Log.Info("a leg left", "call", l.session.Call, "leg", l.session.Leg, "lost", lost)
	l.app.observe(screen.Step{
		Name:  screen.StepIngest,
		Call:  l.session.Call,
		Part:  l.call.Begun().Part,
		Leg:   l.session.Leg,
		Start: l.joined,
		End:   time.Now(),
	})
	l.call.Leave(lost)
}

// sender tells the WHIP server whose tokens are good; nil where everybody may send.
func (a *App) sender() func(context.Context, string) (whip.Sender, bool) {
	ingest := a.auth.Ingest()
	if ingest == nil {
		return nil
	}
	return func(ctx context.Context, token string) (whip.Sender, bool) {
		who, ok := ingest(ctx, token)
		return whip.Sender(who), ok
	}
}
