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

// bridge goes to the rooms of a LiveKit server.
type bridge struct {
	url, key, secret  string // of LiveKit
	callscreen, token string
	rooms             []string // to go to; all, if empty
	agents            bool     // whether participants that are agents are screened
	api               *webrtc.API
	log               *slog.Logger
}

const (
	every  = time.Second      // how often is asked for rooms
	linger = 10 * time.Second // how long a room is attended in which nobody is
)

// run goes to each room as soon as it is there, and once more whenever the connection to it was lost. It returns when all
// legs have ended after ctx.
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
		if (err != nil) != failing { // once, not every second
			if failing = err != nil; failing {
				b.log.Warn("LiveKit does not say which rooms there are; it is asked again every second", "error", err)
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
			// A room that was left has to have somebody to listen to. Whom it counts is known to it some seconds later.
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
					b.log.Warn("a room was lost", "room", r.Name, "error", err)
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
