package main

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// bridge joins the rooms of a LiveKit server.
type bridge struct {
	url, key, secret  string // of LiveKit
	callscreen, token string
	rooms             []string // to join; empty: all
	agents            bool     // screen participants that are agents
	legs              pairs    // identities of participants and the names of their legs
	metadata          pairs    // of every call
	api               *webrtc.API
	log               *slog.Logger
}

const (
	every  = time.Second      // between two lists of the rooms
	linger = 10 * time.Second // after the last participant has left
)

// run joins each room as soon as it exists, and again whenever the connection to it was lost. After ctx ends, it returns when
// all legs have ended.
func (b *bridge) run(ctx context.Context) {
	service := lksdk.NewRoomServiceClient(b.url, b.key, b.secret)
	var all sync.WaitGroup
	defer all.Wait()
	var mu sync.Mutex
	inside, seen := map[string]bool{}, map[string]bool{}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for failing := false; ; {
		list, err := service.ListRooms(ctx, &livekit.ListRoomsRequest{Names: b.rooms})
		if ctx.Err() != nil {
			return
		}
		if (err != nil) != failing { // log a failure once, not every second
			if failing = err != nil; failing {
				b.log.Warn("listing the rooms failed, retrying every second", "error", err)
			} else {
				b.log.Info("LiveKit answers again")
			}
		}
		if err == nil {
			mu.Lock()
			maps.DeleteFunc(seen, func(sid string, _ bool) bool {
				return !slices.ContainsFunc(list.GetRooms(), func(r *livekit.Room) bool { return r.Sid == sid })
			})
			mu.Unlock()
		}
		for _, r := range list.GetRooms() {
			mu.Lock()
			// A room that was left is joined again only if it has participants. LiveKit updates their number after some seconds.
			wanted := !inside[r.Name] && (!seen[r.Sid] || r.NumPublishers > 0)
			if wanted {
				inside[r.Name], seen[r.Sid] = true, true
			}
			mu.Unlock()
			if !wanted {
				continue
			}
			all.Go(func() {
				if err := b.attend(ctx, r.Name); err != nil && ctx.Err() == nil {
					b.log.Warn("room lost, joining again", "room", r.Name, "error", err)
					mu.Lock()
					delete(seen, r.Sid)
					mu.Unlock()
				}
				mu.Lock()
				defer mu.Unlock()
				delete(inside, r.Name)
			})
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
