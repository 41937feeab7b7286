package screen

import (
	"context"
	"errors"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"callscreen/capture"
)

// LiveSession is one sender's stay in a call. Its methods are safe for concurrent use.
type LiveSession struct {
	call     *LiveCall
	legs     []string
	recorded map[string]bool // legs of which a track was recorded; guarded by the lock of the call
	left     bool
	replaced bool // another session took over one of its legs
}

// Call returns the call.
func (s *LiveSession) Call() *LiveCall { return s.call }

// Record records a track as a leg of the session. A session of another sender on the same leg is taken over: its Record
// returns capture.ErrTakenOver. Further tracks of the same session are recorded beside the first.
func (s *LiveSession) Record(ctx context.Context, leg string, track capture.Track, negotiated ...webrtc.RTPCodecParameters) error {
	c := s.call
	received := c.recorder.Stats()[leg].Packets.Received
	c.mu.Lock()
	record := c.recorder.Record
	if l := c.legs[leg]; l != nil {
		if s.recorded[leg] && l.holder == s {
			record = c.recorder.Join
		} else if l.holder != nil && l.holder != s && l.holder.recorded[leg] {
			c.takenOver++
		}
		if l.holder != s || !s.recorded[leg] {
			l.wasBroken, l.received = l.broken, received
		}
		l.holder, l.broken = s, false
	}
	s.recorded[leg] = true
	c.mu.Unlock()
	err := record(ctx, leg, track, negotiated...)
	switch {
	case errors.Is(err, capture.ErrTakenOver):
		c.mu.Lock()
		s.replaced = true
		c.mu.Unlock()
		c.live.cfg.Log.Info("session taken over", "call", c.part.Call, "leg", leg)
	case err != nil && ctx.Err() == nil: // its packets are not recorded, and count
		err = errors.Join(err, c.recorder.Refuse(ctx, leg, track, capture.UnrecordedCodec))
	}
	return err
}

// SenderReport passes an RTCP sender report to the legs of the session.
func (s *LiveSession) SenderReport(sr *rtcp.SenderReport) {
	for _, leg := range s.legs {
		s.call.recorder.SenderReport(leg, sr)
	}
}

// LastPacket returns the arrival of the last packet of the legs, zero before the first.
func (s *LiveSession) LastPacket() (last time.Time) {
	stats := s.call.recorder.Stats()
	for _, leg := range s.legs {
		if at := stats[leg].Packets.LastPacket; at.After(last) {
			last = at
		}
	}
	return last
}

// Departure is the way in which a session ended.
type Departure uint8

const (
	HungUp Departure = iota // the sender ended the session
	Closed                  // the sender closed the connection, and may come back
	Lost                    // the connection broke: the legs are interrupted unless they come back
)

// String returns the name for the log.
func (d Departure) String() string { return [...]string{"hung_up", "closed", "lost"}[d] }

// Leave ends the session. After the last session the call ends: soon if that hung up, later if it may come back.
func (s *LiveSession) Leave(how Departure) {
	c := s.call
	stats := c.recorder.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.left {
		return
	}
	s.left = true
	for _, name := range s.legs {
		l := c.legs[name]
		if l == nil || l.holder != s {
			continue
		}
		l.holder = nil
		switch {
		case how == Lost || s.recorded[name] && s.replaced: // the sender did not end this leg
			l.broken = true
		case !s.recorded[name]:
		case stats[name].Packets.Received > l.received:
			l.broken = false
		default: // a session of which nothing arrived does not bring a broken leg back
			l.broken = l.wasBroken
		}
	}
	c.change()
	if c.sessions--; c.sessions > 0 || c.ended {
		return
	}
	wait := c.live.cfg.Linger
	if how != HungUp {
		wait = c.live.cfg.Grace
		if !arrived(stats) {
			wait = min(wait, c.live.cfg.Unheard)
		}
	}
	c.ending = time.AfterFunc(wait, c.end)
}

// arrived reports whether a packet of any leg has arrived.
func arrived(stats map[string]capture.LegStats) bool {
	for _, leg := range stats {
		if leg.Packets.Received > 0 {
			return true
		}
	}
	return false
}
