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

// newLeg returns the leg of a participant. Names and metadata choose the rules that decide about a call, so they come from the
// operator of the program and from the token of the participant: a participant may change its name, metadata and attributes
// during the call.
func (b *bridge) newLeg(room string, p *lksdk.RemoteParticipant, track *webrtc.TrackRemote) *leg {
	name := b.legName(p.Identity())
	endpoint := strings.TrimSuffix(b.callscreen, "/") + "/whip/" + url.PathEscape(room) + "/" + url.PathEscape(name)
	if len(b.metadata) > 0 {
		query := url.Values{}
		for key, value := range b.metadata {
			query.Set(key, value)
		}
		endpoint += "?" + query.Encode()
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

// legName returns the name that the operator has given to an identity, otherwise the identity. An identity that is the name
// given to another one gets a prefix, so that it does not take the rules of that leg.
func (b *bridge) legName(identity string) string {
	if name, ok := b.legs[identity]; ok {
		return name
	}
	for _, given := range b.legs {
		if identity == given {
			return "participant " + identity
		}
	}
	return identity
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
