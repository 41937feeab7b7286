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
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/address"
	"callscreen/internal/outbound"
)

// session is one leg of one call, sent to a WHIP server.
type session struct {
	opt     *Options
	codecs  []webrtc.RTPCodecCapability // that of the first packets comes first
	target  string
	servers []webrtc.ICEServer
	seed    uint64 // of the impairment
	ready   func() // called once, after the call is connected
	// play sends the media. The cause of its context is errLost or errEnded as soon as sending is impossible. After
	// errIncomplete the connection is broken off, so that the server does not take the leg for complete.
	play func(ctx context.Context, track *rtpTrack) error
	// lostAfter is the silence of the server after which it counts as disconnected, and the further silence after which it
	// counts as gone. 0 means the defaults, 30 s in total.
	lostAfter time.Duration
	// left is a lost session of the leg that could not be ended, because the server was unreachable. It must be ended
	// before the next session starts, because it still occupies the leg.
	left *url.URL
}

// Ends of a connected session.
var (
	errLost  = errors.New("the media connection was lost")
	errEnded = errors.New("the server ended the session")
	// errIncomplete ends a session of which audio is missing that the server cannot know of.
	errIncomplete = errors.New("the leg is incomplete")
)

// down reports whether err is the end of a connected session.
func down(err error) bool { return errors.Is(err, errLost) || errors.Is(err, errEnded) }

// answerError is an answer to the offer other than 201.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return e.text }

// run connects, plays and hangs up.
func (s *session) run(ctx context.Context) (err error) {
	if s.left != nil {
		if err := s.hangUp(ctx, s.left, 3*time.Second); err != nil {
			return err
		}
		s.left = nil
	}
	settings, closeNetwork, err := s.network()
	if err != nil {
		return err
	}
	closeNetwork = sync.OnceValue(closeNetwork)
	defer func() { err = errors.Join(err, closeNetwork()) }()
	media := &webrtc.MediaEngine{}
	for _, codec := range s.codecs {
		if err := media.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: codec,
			PayloadType:        payloadType(codec.MimeType),
		}, webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
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

	track := &rtpTrack{codecs: s.codecs}
	transceiver, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	connected := make(chan struct{})
	var once sync.Once
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			once.Do(func() { close(connected) })
		case webrtc.PeerConnectionStateFailed:
			fail(errLost)
		case webrtc.PeerConnectionStateClosed:
			fail(errEnded)
		}
	})
	resource, err := s.negotiate(ctx, pc)
	if err != nil {
		return err
	}
	defer func() {
		switch {
		case errors.Is(err, errIncomplete):
			// A closed connection would announce itself, as one of a sender who left. A broken one does not.
			err = errors.Join(err, closeNetwork())
			return
		case errors.Is(err, errLost): // the server is unreachable
			if s.hangUp(ctx, resource, 3*time.Second) != nil {
				s.left = resource
			}
			return
		}
		err = errors.Join(err, s.hangUp(ctx, resource, 15*time.Second))
	}()
	readers.Go(func() { // without reading RTCP, NACKs are not handled
		buf := make([]byte, 1500)
		for {
			if _, _, err := transceiver.Sender().Read(buf); err != nil {
				return
			}
		}
	})
	select {
	case <-connected:
	case <-time.After(15 * time.Second):
		return errNoMedia
	case <-ctx.Done():
		if cause := context.Cause(ctx); !down(cause) {
			return cause
		}
		return errors.New("the media connection failed (hint: check that the UDP port of the server is open)")
	}
	s.ready()
	return s.play(ctx, track)
}

// payloadType returns the static payload type of RFC 3551, or one from the dynamic range.
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

// negotiate sends the offer and returns the URL of the session.
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
			hint = " (hint: set --token or CALLSCREEN_INGEST_TOKEN)"
		case http.StatusNotFound:
			hint = " (hint: --to http://HOST:PORT/whip/CALL/LEG)"
		}
		return nil, &answerError{status, fmt.Sprintf("%s answers HTTP %d: %s%s", shown(s.target), status, firstLine(body), hint)}
	}
	resource, err := req.URL.Parse(header.Get("Location"))
	if err != nil || header.Get("Location") == "" {
		return nil, fmt.Errorf("the answer of %s has no Location header", shown(s.target))
	}
	if !outbound.SameOrigin(req.URL, resource) {
		return nil, fmt.Errorf("%s names a session at %s, to which the token does not belong (hint: --to that server)",
			shown(s.target), address.Redact(resource.String()))
	}
	err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
	if err != nil {
		err = errors.Join(fmt.Errorf("the answer of %s is invalid: %w", shown(s.target), err), s.hangUp(ctx, resource, 15*time.Second))
	}
	return resource, err
}

// shown returns an address without what may be a secret. The path names the call.
func shown(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return address.Redact(target)
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// hangUp ends the session, also during shutdown.
func (s *session) hangUp(ctx context.Context, resource *url.URL, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
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
	resp, err := outbound.WithinOrigin(o.client()).Do(req)
	switch err = address.Error(err); {
	case errors.Is(err, outbound.ErrOtherOrigin):
		return 0, nil, nil, err
	case err != nil:
		return 0, nil, nil, fmt.Errorf("%w (hint: check that a sidecar is running there)", err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode >= 300 {
		body = []byte(address.Echo(string(body), req.URL, o.Token))
	}
	return resp.StatusCode, resp.Header, body, err
}

func firstLine(body []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}
