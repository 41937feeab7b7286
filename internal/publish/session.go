package publish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// session is one leg of one call on its way to a WHIP server.
type session struct {
	opt     *Options
	media   *Media
	target  string
	servers []webrtc.ICEServer
	seed    uint64
	sent    *atomic.Int64
	ready   func() // called once, when the call is connected
}

// run connects, sends the recording in real time, and hangs up.
func (s *session) run(ctx context.Context) (err error) {
	settings, closeNetwork, err := s.network()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeNetwork()) }()
	media := &webrtc.MediaEngine{}
	if err := media.RegisterCodec(webrtc.RTPCodecParameters{RTPCodecCapability: s.media.Codec, PayloadType: payloadType(s.media.Codec.MimeType)}, webrtc.RTPCodecTypeAudio); err != nil {
		return err
	}
	registry := &interceptor.Registry{}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		return err
	}
	api := webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(settings))
	pc, err := api.NewPeerConnection(webrtc.Configuration{ICEServers: s.servers})
	if err != nil {
		return err
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() { err = errors.Join(err, pc.GracefulClose()) }()

	track, err := webrtc.NewTrackLocalStaticRTP(s.media.Codec, "audio", "callscreen")
	if err != nil {
		return err
	}
	transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	connected, failed := make(chan struct{}), make(chan struct{})
	var once, onceFailed sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			onceFailed.Do(func() { close(failed) })
		}
	})
	resource, err := s.negotiate(ctx, pc)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.hangUp(ctx, resource)) }()
	readers.Go(func() { // RTCP must be read, or retransmissions are not asked for
		buf := make([]byte, 1500)
		for {
			if _, _, err := transceiver.Sender().Read(buf); err != nil {
				return
			}
		}
	})
	select {
	case <-connected:
	case <-failed:
		return errors.New("the media connection failed (hint: is the UDP port of the server open?)")
	case <-time.After(15 * time.Second):
		return errNoMedia
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.ready()
	return s.send(ctx, track, failed)
}

// send writes the packets at their time. What the machine was too busy to send in time follows at once.
func (s *session) send(ctx context.Context, track *webrtc.TrackLocalStaticRTP, failed <-chan struct{}) error {
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(s.seed * 7919), Timestamp: uint32(s.seed * 104729)}}
	packet.Marker = true
	start, ticks := time.Now(), uint64(0)
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for _, p := range s.media.Packets {
		at := time.Duration(float64(ticks) / float64(s.media.Codec.ClockRate) * float64(time.Second))
		if wait := time.Until(start.Add(at)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-failed:
				return errors.New("the media connection was lost")
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if p.Payload != nil {
			packet.Payload = p.Payload
			if err := track.WriteRTP(&packet); err != nil {
				return err
			}
			s.sent.Add(1)
			packet.SequenceNumber++
			packet.Marker = false
		}
		packet.Timestamp += p.Ticks
		ticks += uint64(p.Ticks)
	}
	// The last packets may be held up on their way, and should not be overtaken by the end of the call.
	select {
	case <-time.After(s.opt.Impairment.Jitter + 200*time.Millisecond):
	case <-ctx.Done():
	}
	return nil
}

// payloadType is the static one of RFC 3551, or one from the dynamic range.
func payloadType(mime string) webrtc.PayloadType {
	switch mime {
	case webrtc.MimeTypePCMU:
		return 0
	case webrtc.MimeTypePCMA:
		return 8
	case webrtc.MimeTypeG722:
		return 9
	}
	return 111
}

// negotiate offers the call and returns the URL of the session.
func (s *session) negotiate(ctx context.Context, pc *webrtc.PeerConnection) (*url.URL, error) {
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return nil, err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		return nil, err
	}
	select {
	case <-gathered:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target, strings.NewReader(pc.LocalDescription().SDP))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/sdp")
	status, header, body, err := s.opt.do(req)
	if err != nil {
		return nil, err
	}
	if status != http.StatusCreated {
		hint := ""
		switch status {
		case http.StatusUnauthorized, http.StatusForbidden:
			hint = " (hint: --token, or CALLSCREEN_INGEST_TOKEN)"
		case http.StatusNotFound:
			hint = " (hint: --to http://HOST:PORT/whip/CALL/LEG)"
		}
		return nil, fmt.Errorf("%s answers HTTP %d: %s%s", s.target, status, firstLine(body), hint)
	}
	resource, err := req.URL.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return nil, fmt.Errorf("%s names no session (no Location)", s.target)
	}
	err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
	if err != nil {
		err = errors.Join(fmt.Errorf("the answer of %s cannot be used: %w", s.target, err), s.hangUp(ctx, resource))
	}
	return resource, err
}

// hangUp ends the session, also when the program is being stopped.
func (s *session) hangUp(ctx context.Context, resource *url.URL) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, resource.String(), nil)
	if err != nil {
		return err
	}
	status, _, body, err := s.opt.do(req)
	if err != nil {
		return fmt.Errorf("hang up: %w", err)
	}
	if status >= 300 && status != http.StatusNotFound {
		return fmt.Errorf("hang up: HTTP %d: %s", status, firstLine(body))
	}
	return nil
}

func (o *Options) do(req *http.Request) (status int, header http.Header, body []byte, err error) {
	if o.Token != "" {
		req.Header.Set("Authorization", "Bearer "+o.Token)
	}
	resp, err := o.client().Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("%w (hint: is a sidecar running there?)", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, resp.Header, body, err
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}
