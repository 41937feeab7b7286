// Package sfu is an example of a media server that sends a leg of a call to callscreen. Copy it: it needs only pion.
package sfu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// Leg sends the packets of a track to callscreen unchanged. To the media server it is one more listener of the track.
type Leg struct {
	pc      *webrtc.PeerConnection
	track   *webrtc.TrackLocalStaticRTP
	session string // URL of the session, for hanging up
	token   string
	reading sync.WaitGroup
	lost    chan struct{}
}

// Join starts a leg at endpoint, such as http://127.0.0.1:8080/whip/CALL/LEG?queue=payments, for a track with this codec.
// api is the API with which your server creates its connections.
func Join(ctx context.Context, api *webrtc.API, codec webrtc.RTPCodecCapability, endpoint, token string) (leg *Leg, err error) {
	l := &Leg{token: token, lost: make(chan struct{})}
	if l.pc, err = api.NewPeerConnection(webrtc.Configuration{}); err != nil {
		return nil, err
	}
	gone := sync.OnceFunc(func() { close(l.lost) })
	l.pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateFailed || state == webrtc.PeerConnectionStateClosed {
			gone()
		}
	})
	defer func() {
		if err != nil {
			err = errors.Join(err, l.pc.GracefulClose())
			l.reading.Wait()
		}
	}()
	if l.track, err = webrtc.NewTrackLocalStaticRTP(codec, "audio", "callscreen"); err != nil {
		return nil, err
	}
	out, err := l.pc.AddTransceiverFromTrack(l.track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	offer, err := l.pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(l.pc)
	if err := l.pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	l.reading.Go(func() { // RTCP must be read, or lost packets are not sent again
		buf := make([]byte, 1500)
		for {
			if _, _, err := out.Sender().Read(buf); err != nil {
				return
			}
		}
	})
	select {
	case <-gathered:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	answer, err := l.negotiate(ctx, endpoint, l.pc.LocalDescription().SDP)
	if err != nil {
		return nil, err
	}
	return l, l.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer})
}

// negotiate posts the offer, and stores the URL of the session.
func (l *Leg) negotiate(ctx context.Context, endpoint, offer string) (answer string, err error) {
	resp, err := l.ask(ctx, http.MethodPost, endpoint, strings.NewReader(offer))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusCreated { // 503 has a Retry-After
		return "", fmt.Errorf("%s: %s", resp.Status, body)
	}
	base, err := url.Parse(endpoint)
	if err != nil {
		return "", err
	}
	session, err := base.Parse(resp.Header.Get("Location"))
	if err != nil {
		return "", err
	}
	l.session = session.String()
	return string(body), nil
}

func (l *Leg) ask(ctx context.Context, method, url string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/sdp")
	if l.token != "" {
		r.Header.Set("Authorization", "Bearer "+l.token)
	}
	return http.DefaultClient.Do(r)
}

// WriteRTP sends a packet. Call it where your server passes a packet to its listeners. The packet is neither changed nor kept.
// Packets written before the media is connected are dropped.
func (l *Leg) WriteRTP(p *rtp.Packet) error {
	q := *p
	q.Extension, q.Extensions = false, nil // their numbers were negotiated with the sender
	return l.track.WriteRTP(&q)
}

// Lost returns a channel that is closed when the connection has failed, as after a restart of callscreen. Close the leg then, and
// join again.
func (l *Leg) Lost() <-chan struct{} { return l.lost }

// Close hangs up. Without it callscreen waits for the leg to come back, for webrtc.grace.
func (l *Leg) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	resp, err := l.ask(ctx, http.MethodDelete, l.session, nil)
	if err == nil {
		err = resp.Body.Close()
	}
	err = errors.Join(err, l.pc.GracefulClose())
	l.reading.Wait()
	return err
}
