package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// attend joins a room and forwards its audio until the other participants have left, ctx ends, or the connection is lost, which
// is an error. LiveKit repairs short losses itself.
func (b *bridge) attend(ctx context.Context, name string) error {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	var mu sync.Mutex
	var legs sync.WaitGroup
	ends := map[*webrtc.TrackRemote]context.CancelFunc{}
	lost := make(chan lksdk.DisconnectionReason, 1)

	cb := lksdk.NewRoomCallback()
	cb.OnDisconnectedWithReason = func(why lksdk.DisconnectionReason) {
		select {
		case lost <- why:
		default:
		}
	}
	cb.OnTrackPublished = func(pub *lksdk.RemoteTrackPublication, p *lksdk.RemoteParticipant) { b.subscribe(pub, p) }
	cb.OnTrackSubscribed = func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, p *lksdk.RemoteParticipant) {
		l := b.newLeg(name, p, track)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		legCtx, end := context.WithCancel(ctx)
		ends[track] = end
		legs.Go(func() {
			defer end()
			l.run(legCtx)
		})
	}
	cb.OnTrackUnsubscribed = func(track *webrtc.TrackRemote, _ *lksdk.RemoteTrackPublication, _ *lksdk.RemoteParticipant) {
		mu.Lock()
		defer mu.Unlock()
		if end := ends[track]; end != nil {
			end()
			delete(ends, track)
		}
	}

	token, err := b.badge(name)
	if err != nil {
		return err
	}
	room := lksdk.NewRoom(cb)
	if err := room.JoinWithContextAndToken(ctx, b.url, token, lksdk.WithAutoSubscribe(false)); err != nil {
		return err
	}
	defer func() {
		mu.Lock()
		leave()
		mu.Unlock()
		legs.Wait() // the callscreen side hangs up before the tracks are gone
		room.Disconnect()
	}()
	for _, p := range room.GetRemoteParticipants() {
		for _, pub := range p.TrackPublications() {
			if pub, ok := pub.(*lksdk.RemoteTrackPublication); ok {
				b.subscribe(pub, p)
			}
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for alone := time.Now(); ; {
		select {
		case why := <-lost:
			return fmt.Errorf("LiveKit ended the connection: %v", why)
		case <-ctx.Done():
			return context.Cause(ctx)
		case now := <-tick.C:
			if len(room.GetRemoteParticipants()) > 0 {
				alone = now
			}
			if now.Sub(alone) > linger {
				return nil
			}
		}
	}
}

// badge returns a token to join a room as a hidden participant that listens.
func (b *bridge) badge(room string) (string, error) {
	no, yes := false, true
	grant := &auth.VideoGrant{
		RoomJoin:       true,
		Room:           room,
		Hidden:         true,
		CanSubscribe:   &yes,
		CanPublish:     &no,
		CanPublishData: &no,
	}
	return auth.NewAccessToken(b.key, b.secret).
		SetVideoGrant(grant).
		SetIdentity("callscreen-" + rand.Text()).
		SetValidFor(24 * time.Hour).
		ToJWT()
}

// subscribe subscribes to the microphone of a participant, and to no other track.
func (b *bridge) subscribe(pub *lksdk.RemoteTrackPublication, p *lksdk.RemoteParticipant) {
	if pub.Kind() != lksdk.TrackKindAudio || pub.Source() == livekit.TrackSource_SCREEN_SHARE_AUDIO {
		return
	}
	if p.Kind() == lksdk.ParticipantAgent && !b.agents {
		return
	}
	if err := pub.SetSubscribed(true); err != nil {
		b.log.Warn("subscribing to a track failed", "participant", p.Identity(), "error", err)
	}
}
