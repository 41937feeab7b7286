package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"

	"callscreen/docs/examples/sfu"
)

// leg is a participant on the way to callscreen.
type leg struct {
	join    func(context.Context) (*sfu.Leg, error)
	track   *webrtc.TrackRemote
	log     *slog.Logger
	current atomic.Pointer[sfu.Leg] // nil while there is no connection
	joined  int
	sent    uint64
}

// attribute is how the attributes of a participant begin that are for callscreen.
const attribute = "callscreen."

// newLeg names the leg of a participant: after the attribute callscreen.leg, or its identity. Further attributes that begin
// with callscreen. are metadata of the call.
func (b *bridge) newLeg(room string, p *lksdk.RemoteParticipant, track *webrtc.TrackRemote) *leg {
	name, metadata := p.Identity(), url.Values{}
	for key, value := range p.Attributes() {
		if key == attribute+"leg" {
			name = value
		} else if rest, ok := strings.CutPrefix(key, attribute); ok {
			metadata.Set(rest, value)
		}
	}
	endpoint := strings.TrimSuffix(b.callscreen, "/") + "/whip/" + url.PathEscape(room) + "/" + url.PathEscape(name)
	if len(metadata) > 0 {
		endpoint += "?" + metadata.Encode()
	}
	return &leg{
		join: func(ctx context.Context) (*sfu.Leg, error) {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
			defer cancel()
			return sfu.Join(ctx, b.api, track.Codec().RTPCodecCapability, endpoint, b.token)
		},
		track: track, log: b.log.With("call", room, "leg", name),
	}
}

// run forwards the track until it ends, or ctx does. Meanwhile the connection is kept up: who has lost it joins again.
func (l *leg) run(ctx context.Context) {
	began := time.Now()
	ctx, end := context.WithCancel(ctx)
	defer end()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		l.keep(ctx)
	}()
	stop := context.AfterFunc(ctx, func() { _ = l.track.SetReadDeadline(time.Now()) }) // it only ends the reading
	defer stop()
	for ctx.Err() == nil {
		p, _, err := l.track.ReadRTP()
		if err != nil {
			break
		}
		// Who reads while there is no connection loses what is said then, and nothing of what is said later.
		if to := l.current.Load(); to != nil && to.WriteRTP(p) == nil {
			l.sent++
		}
	}
	end()
	<-kept
	l.log.Info("a leg ended", "seconds", int(time.Since(began).Seconds()), "packets", l.sent, "joined", l.joined)
}

// keep joins, and joins again.
func (l *leg) keep(ctx context.Context) {
	pace := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(250*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0),
	)
	for ctx.Err() == nil {
		to, err := l.join(ctx)
		if err == nil {
			l.joined++
			pace.Reset()
			l.current.Store(to)
			select {
			case <-to.Lost():
				l.log.Warn("callscreen is gone; the leg will join again")
			case <-ctx.Done():
			}
			l.current.Store(nil)
			if err := to.Close(); err != nil && ctx.Err() != nil {
				l.log.Warn("a leg could not be hung up", "error", err)
			}
		} else if ctx.Err() == nil {
			l.log.Warn("callscreen does not take the leg; it will be offered again", "error", err)
		}
		select {
		case <-time.After(pace.NextBackOff()):
		case <-ctx.Done():
		}
	}
}
