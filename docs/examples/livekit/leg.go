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

// leg forwards the audio of a participant to callscreen.
type leg struct {
	join    func(context.Context) (*sfu.Leg, error)
	track   *webrtc.TrackRemote
	log     *slog.Logger
	current atomic.Pointer[sfu.Leg] // nil while there is no connection
	joined  int
	sent    uint64
}

// attribute is the prefix of the participant attributes for callscreen.
const attribute = "callscreen."

// newLeg returns the leg of a participant. Its name is the attribute callscreen.leg, or the identity of the participant. Other
// attributes that begin with callscreen. are metadata of the call.
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

// run forwards the track until it or ctx ends. A lost connection is replaced by a new one.
func (l *leg) run(ctx context.Context) {
	began := time.Now()
	ctx, end := context.WithCancel(ctx)
	defer end()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		l.keep(ctx)
	}()
	stop := context.AfterFunc(ctx, func() { _ = l.track.SetReadDeadline(time.Now()) }) // it only stops reading
	defer stop()
	for ctx.Err() == nil {
		p, _, err := l.track.ReadRTP()
		if err != nil {
			break
		}
		// Packets are read without a connection too, so that none of them is sent late.
		if to := l.current.Load(); to != nil && to.WriteRTP(p) == nil {
			l.sent++
		}
	}
	end()
	<-kept
	l.log.Info("leg ended", "seconds", int(time.Since(began).Seconds()), "packets", l.sent, "joined", l.joined)
}

// keep joins the call, and joins again after a lost connection.
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
				l.log.Warn("callscreen connection lost, joining again")
			case <-ctx.Done():
			}
			l.current.Store(nil)
			if err := to.Close(); err != nil && ctx.Err() != nil {
				l.log.Warn("hanging up a leg failed", "error", err)
			}
		} else if ctx.Err() == nil {
			l.log.Warn("callscreen refused the leg, retrying", "error", err)
		}
		select {
		case <-time.After(pace.NextBackOff()):
		case <-ctx.Done():
		}
	}
}
