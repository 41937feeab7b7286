package whip

import (
	"context"
	"crypto/rand"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
	"golang.org/x/time/rate"

	"callscreen/capture"
	"callscreen/internal/intake"
	"callscreen/internal/rtc"
	"callscreen/internal/wait"
)

// session is a sender that is connected or connecting.
type session struct {
	server *Server
	id     string // of the resource; unguessable
	what   intake.Request
	from   netip.Addr
	began  time.Time
	// evicted is whether a newer session of its token for the leg has ended it. The table guards it.
	evicted bool
	opened  func() // gives the share of the sessions that have not connected back

	requests *rate.Limiter
	budget   *rtc.Budget // of the checks of ICE

	pc     *webrtc.PeerConnection
	leg    Receiver
	ctx    context.Context
	cancel context.CancelFunc
	tracks sync.WaitGroup
	timers []*time.Timer
	answer string

	connected atomic.Bool // now or earlier

	negotiation sync.Mutex // guards the fields below
	offer       string     // the last accepted one, in the form of the WebRTC library
	mids        []string   // sections of the offer whose candidates are those of the audio
	etag        string
	candidates  int // since the last ICE restart
	checked     int // of them, those that get checks
	restarts    int

	state sync.Mutex // guards the fields below
	over  bool
	ended sync.Once
}

const gatherFor = 3 * time.Second

// start answers the offer.
func (c *session) start(ctx context.Context, o *offer) (err error) {
	if c.pc, err = c.server.cfg.Engine.NewPeerConnection(rtc.Session{Active: o.active, Budget: c.budget}); err != nil {
		return err
	}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.pc.OnTrack(c.onTrack)
	c.pc.OnConnectionStateChange(c.onState)
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: o.sdp}); err != nil {
		return refuse(400, "the offer cannot be used: %v", err)
	}
	local, err := c.negotiate(ctx)
	if err != nil {
		return err
	}
	if c.answer, err = o.checkAnswer(local); err != nil {
		return err
	}
	// An offer that is refused leaves no call. No track can arrive before the sender has the answer.
	leg, err := c.server.cfg.Intake.Accept(ctx, c.what)
	if err != nil {
		return err
	}
	c.leg = leg
	c.offer, c.mids, c.etag = o.sdp, o.mids, newETag()
	c.checked = len(o.checked)
	c.watch(time.Now())
	c.after(c.server.cfg.Handshake, func() {
		if !c.connected.Load() { // an interrupted connection may come back
			c.server.cfg.Log.Info("sender did not connect in time", "call", c.what.Call, "leg", c.what.Leg)
			c.end(intake.Lost)
		}
	})
	return nil
}

// watch ends the session after too long a time without packets. ICE is no measure: it may report a silent sender as
// alive, and a sending one as gone.
func (c *session) watch(since time.Time) {
	idle := c.server.cfg.Idle
	c.after(idle/4, func() {
		last := since
		if at := c.leg.LastPacket(); at.After(since) {
			last = at
		}
		if time.Since(last) > idle {
			c.server.cfg.Log.Info("sender idle, session ended", "call", c.what.Call, "leg", c.what.Leg)
			c.end(intake.Lost)
			return
		}
		c.watch(last)
	})
}

// after calls f after d unless the session is over by then.
func (c *session) after(d time.Duration, f func()) {
	c.state.Lock()
	defer c.state.Unlock()
	if !c.over {
		if len(c.timers) > 8 { // only the last two can be running
			c.timers = c.timers[len(c.timers)-2:]
		}
		c.timers = append(c.timers, time.AfterFunc(d, f))
	}
}

// negotiate returns an answer with all candidates.
func (c *session) negotiate(ctx context.Context) (string, error) {
	answer, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", refuse(406, "the offer cannot be answered: %v", err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(answer); err != nil {
		return "", err
	}
	t := time.NewTimer(gatherFor)
	defer t.Stop()
	select {
	case <-gathered:
	case <-t.C: // a STUN server without an answer must not block the call
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	return c.pc.LocalDescription().SDP, nil
}

func newETag() string { return `"` + rand.Text() + `"` }

// onTrack is called by pion in a goroutine of its own.
func (c *session) onTrack(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	c.state.Lock()
	if c.over || track.Kind() != webrtc.RTPCodecTypeAudio {
		c.state.Unlock()
		return
	}
	c.tracks.Add(1)
	c.state.Unlock()
	defer c.tracks.Done()
	err := c.leg.Track(c.ctx, track, receiver)
	switch {
	case err == nil || c.ctx.Err() != nil:
	case errors.Is(err, capture.ErrTakenOver):
		go c.end(intake.HungUp) // Server.Close waits for it
	default:
		c.server.cfg.Log.Warn("recording track failed", "call", c.what.Call, "leg", c.what.Leg, "error", err)
	}
}

// onState is called by pion. A disconnected session goes on: packets may arrive again at any time.
func (c *session) onState(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		c.connected.Store(true)
		c.opened()
	case webrtc.PeerConnectionStateFailed:
		go c.end(intake.Lost) // Server.Close waits for it; closing from a callback deadlocks in pion
	case webrtc.PeerConnectionStateClosed: // by the sender, whose DTLS close_notify is authenticated
		go c.end(intake.Closed)
	}
}

// broken is the silence after which a connection that ICE reports as disconnected is broken.
const broken = 2 * time.Second

// departure returns how a sender leaves that asks for it. One whose connection is broken has gone on, and was not heard: its
// request came another way.
func (c *session) departure() intake.Departure {
	switch c.pc.ConnectionState() {
	case webrtc.PeerConnectionStateDisconnected, webrtc.PeerConnectionStateFailed:
		if last := c.leg.LastPacket(); !last.IsZero() && time.Since(last) > broken {
			return intake.Lost
		}
	}
	return intake.HungUp
}

const (
	// A sender that asks for the end has sent all its packets. Some may be in the buffers of a busy machine, so they are recorded until
	// none has come for lingerQuiet.
	lingerQuiet = 200 * time.Millisecond
	lingerMost  = time.Second
)

// linger waits for the last packets of a sender that has asked for the end.
func (c *session) linger() {
	if !c.connected.Load() {
		return
	}
	asked := time.Now()
	for time.Since(asked) < lingerMost {
		last := asked
		if at := c.leg.LastPacket(); at.After(last) {
			last = at
		}
		rest := lingerQuiet - time.Since(last)
		if rest <= 0 || wait.For(c.ctx, rest) != nil {
			return
		}
	}
}

// end closes the session, once, and returns when it is closed.
func (c *session) end(how intake.Departure) {
	c.ended.Do(func() {
		c.state.Lock()
		c.over = true
		timers := c.timers
		c.state.Unlock()
		for _, t := range timers {
			t.Stop()
		}
		if c.cancel != nil {
			c.cancel()
		}
		if c.pc != nil {
			if err := c.pc.GracefulClose(); err != nil {
				c.server.cfg.Log.Warn("closing session failed", "call", c.what.Call, "leg", c.what.Leg, "error", err)
			}
		}
		c.tracks.Wait()
		if c.leg != nil {
			c.leg.Close(how)
		}
		if how != intake.HungUp && c.answer != "" {
			c.server.stats.lost.Add(1)
		}
		c.server.sessions.release(c)
	})
}

// isRestart reports whether a fragment has other credentials than the offer.
func (c *session) isRestart(f *fragment) bool {
	if f.ufrag == "" {
		return false
	}
	ufrag, pwd, _ := credentials(c.offer)
	return f.ufrag != ufrag || f.pwd != pwd
}

// trickle adds the candidates of a fragment. negotiation must be held.
func (c *session) trickle(f *fragment) error {
	_, _, mid := credentials(c.offer)
	var errs []error
	for _, candidate := range f.wanted(c.mids) {
		if c.checked >= mostChecked {
			break
		}
		c.checked++
		candidate.SDPMid = &mid
		if err := c.pc.AddICECandidate(candidate); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 && len(errs) == len(f.candidates) { // a useless candidate is no reason to refuse the others
		return errors.Join(errs...)
	}
	return nil
}

// restart restarts ICE, as after a change of network. On an error the session is unchanged.
func (c *session) restart(ctx context.Context, f *fragment) (string, error) {
	if f.pwd == "" {
		return "", errors.New("the fragment has no password")
	}
	usable := f.wanted(c.mids)
	usable = usable[:min(len(usable), mostChecked)]
	next, err := restarted(c.offer, &fragment{ufrag: f.ufrag, pwd: f.pwd, candidates: usable})
	if err != nil {
		return "", err
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: next}); err != nil {
		return "", err
	}
	local, err := c.negotiate(ctx)
	if err != nil {
		return "", err
	}
	c.offer, c.etag, c.checked = next, newETag(), len(usable)
	return answerFragment(local, strings.Contains(next, "a=rtcp-mux")), nil
}
