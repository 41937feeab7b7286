// Package whep pulls the audio of a leg from a media server: it is a WHEP client (draft-ietf-wish-whep). Each session has
// a UDP socket of its own, because two sessions with the same server port could not be told apart on a shared one.
package whep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/address"
	"callscreen/internal/outbound"
	"callscreen/internal/rtc"
	"callscreen/internal/wait"
)

// Receiver takes the audio.
type Receiver interface {
	// Track reads a track to its end.
	Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error
}

// Config describes a pull. Zero values mean the defaults, where there are any.
type Config struct {
	URL   string // of the WHEP endpoint
	Token string
	Leg   Receiver
	// First and Longest bound the exponential delay between attempts. Default 500 ms and 15 s.
	First, Longest time.Duration
	// Tries is the number of failures in a row after which Run gives up. 0: unlimited.
	Tries  int
	Client *http.Client
	Log    *slog.Logger
}

// errGone marks a session that the server refuses for good.
type errGone struct{ error }

// retryAfter marks a session that the server may grant later.
type retryAfter struct {
	error
	after time.Duration
}

// Run pulls until the context ends, and reconnects when the connection is lost or the server has no audio yet. It returns
// the cause of the context, or the error after which it gave up.
func Run(ctx context.Context, cfg Config) error {
	if u, err := url.Parse(cfg.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is no WHEP URL", address.Redact(cfg.URL))
	}
	if cfg.First == 0 {
		cfg.First = 500 * time.Millisecond
	}
	if cfg.Longest == 0 {
		cfg.Longest = 15 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
		defer cfg.Client.CloseIdleConnections()
	}
	pace := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(cfg.First),
		backoff.WithMaxInterval(cfg.Longest),
		backoff.WithMaxElapsedTime(0),
	)
	cfg.Client = outbound.WithinOrigin(cfg.Client)
	for failed := 0; ; {
		s := session{cfg: cfg}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.connected {
			failed = 0
			pace.Reset()
		}
		failed++
		var gone errGone
		if errors.As(err, &gone) || cfg.Tries > 0 && failed >= cfg.Tries {
			return err
		}
		pause := pace.NextBackOff()
		var later retryAfter
		if errors.As(err, &later) {
			pause = max(pause, later.after)
		}
		cfg.Log.Info("WHEP session ended, retrying", "url", address.Redact(cfg.URL), "wait", pause, "error", err)
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}

// session is one connection.
type session struct {
	cfg       Config
	connected bool
}

func (s *session) run(ctx context.Context) (err error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return err
	}
	api, closeMux, err := rtc.Single(conn)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { err = errors.Join(err, closeMux()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var tracks sync.WaitGroup
	defer tracks.Wait()
	var pc *webrtc.PeerConnection
	defer func() {
		if pc != nil {
			err = errors.Join(err, pc.GracefulClose())
		}
	}()
	defer cancel() // runs first, so that the tracks end
	lost := make(chan struct{})
	var once sync.Once
	up := make(chan struct{})
	var onceUp sync.Once
	onState := func(state webrtc.PeerConnectionState) {
		switch state {
		case webrtc.PeerConnectionStateConnected:
			onceUp.Do(func() { close(up) })
		case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
			once.Do(func() { close(lost) })
		}
	}
	var mu sync.Mutex
	over := false
	defer func() { mu.Lock(); over = true; mu.Unlock() }()
	onTrack := func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		mu.Lock()
		if over || track.Kind() != webrtc.RTPCodecTypeAudio {
			mu.Unlock()
			return
		}
		tracks.Add(1)
		mu.Unlock()
		defer tracks.Done()
		if err := s.cfg.Leg.Track(ctx, track, receiver); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("recording WHEP track failed", "url", address.Redact(s.cfg.URL), "error", err)
		}
	}
	pc, resource, err := s.negotiate(
		ctx,
		func() (*webrtc.PeerConnection, error) { return api.NewPeerConnection(webrtc.Configuration{}) },
		func(pc *webrtc.PeerConnection) {
			pc.OnTrack(onTrack)
			pc.OnConnectionStateChange(onState)
		},
	)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.leave(ctx, resource)) }()
	select {
	case <-up:
		s.connected = true
	case <-lost:
		return errors.New("the media connection failed")
	case <-time.After(15 * time.Second):
		return errors.New("no media connection after 15 s")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-lost:
		return errors.New("the media connection was lost")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// negotiate offers to receive audio. A server may answer the offer, or refuse it with a counter-offer. pion cannot roll
// back an offer, so a counter-offer needs another connection. prepare is called for the one in use.
func (s *session) negotiate(
	ctx context.Context,
	newPC func() (*webrtc.PeerConnection, error),
	prepare func(*webrtc.PeerConnection),
) (pc *webrtc.PeerConnection, resource *url.URL, err error) {
	if pc, err = newPC(); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil && pc != nil {
			err = errors.Join(err, pc.GracefulClose())
			pc = nil
		}
	}()
	if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionRecvonly,
	}); err != nil {
		return pc, nil, err
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		return pc, nil, err
	}
	if err := gather(ctx, pc, offer); err != nil {
		return pc, nil, err
	}
	status, header, body, err := s.ask(ctx, http.MethodPost, s.cfg.URL, pc.LocalDescription().SDP)
	if err != nil {
		return pc, nil, err
	}
	counter := status == http.StatusNotAcceptable && strings.HasPrefix(header.Get("Content-Type"), "application/sdp")
	if status != http.StatusCreated && !counter {
		return pc, nil, refusal(status, header, body)
	}
	base, err := url.Parse(s.cfg.URL)
	if err == nil {
		resource, err = base.Parse(header.Get("Location"))
	}
	if err != nil || header.Get("Location") == "" {
		return pc, nil, errors.New("the server names no session (no Location)")
	}
	if !outbound.SameOrigin(base, resource) {
		return pc, nil, errGone{fmt.Errorf("the server at %s names a session at %s, to which the token does not belong (hint: pull from there)",
			address.Redact(base.String()), address.Redact(resource.String()))}
	}
	if !counter {
		prepare(pc)
		err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: rtc.WithoutSources(body)})
	} else {
		if err := pc.GracefulClose(); err != nil {
			return pc, nil, err
		}
		if pc, err = newPC(); err != nil {
			return nil, nil, err
		}
		prepare(pc)
		err = s.answer(ctx, pc, resource, body)
	}
	if err != nil {
		return pc, nil, errors.Join(err, s.leave(ctx, resource))
	}
	return pc, resource, nil
}

// answer answers a counter-offer.
func (s *session) answer(ctx context.Context, pc *webrtc.PeerConnection, resource *url.URL, offer string) error {
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: rtc.WithoutSources(offer)}); err != nil {
		return err
	}
	answer, err := pc.CreateAnswer(nil)
	if err != nil {
		return err
	}
	if err := gather(ctx, pc, answer); err != nil {
		return err
	}
	status, header, body, err := s.ask(ctx, http.MethodPatch, resource.String(), pc.LocalDescription().SDP)
	if err != nil {
		return err
	}
	if status != http.StatusNoContent && status != http.StatusOK {
		return refusal(status, header, body)
	}
	return nil
}

// gather sets a description and waits for its candidates.
func gather(ctx context.Context, pc *webrtc.PeerConnection, d webrtc.SessionDescription) error {
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return err
	}
	select {
	case <-gathered:
		return nil
	case <-time.After(3 * time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refusal returns the error of a failed request.
func refusal(status int, header http.Header, body string) error {
	line, _, _ := strings.Cut(strings.TrimSpace(body), "\n")
	err := fmt.Errorf("the server answers HTTP %d: %.200s", status, line)
	switch {
	case status == http.StatusConflict || status == http.StatusNotFound || status == http.StatusTooManyRequests || status >= 500:
		seconds, _ := strconv.Atoi(header.Get("Retry-After"))
		return retryAfter{err, time.Duration(min(max(seconds, 0), 300)) * time.Second}
	}
	return errGone{err}
}

// leave ends the session on the server.
func (s *session) leave(ctx context.Context, resource *url.URL) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _, _, err := s.ask(ctx, http.MethodDelete, resource.String(), "")
	return err
}

func (s *session) ask(ctx context.Context, method, target, body string) (status int, header http.Header, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/sdp")
	}
	if s.cfg.Token != "" {
		r.Header.Set("Authorization", "Bearer "+s.cfg.Token)
	}
	resp, err := s.cfg.Client.Do(r)
	if err != nil {
		if errors.Is(err, outbound.ErrOtherOrigin) {
			err = errGone{err}
		}
		return 0, nil, "", address.Error(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 256<<10))
	if text = string(data); resp.StatusCode >= 300 && !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/sdp") {
		text = address.Echo(text, r.URL, s.cfg.Token)
	}
	return resp.StatusCode, resp.Header, text, address.Error(err)
}
