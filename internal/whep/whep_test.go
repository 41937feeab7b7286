package whep_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"callscreen/internal/whep"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mediaServer is a WHEP server that uses pion.
type mediaServer struct {
	t       *testing.T
	counter bool // answer an offer with a counter-offer
	busy    int  // number of first requests that get 409
	status  int  // of all responses, if not 0
	mu      sync.Mutex
	posts   int
	deletes int
	pcs     []*webrtc.PeerConnection
	work    sync.WaitGroup
	stop    chan struct{}
}

func newMediaServer(t *testing.T) (*mediaServer, string) {
	t.Helper()
	s := &mediaServer{t: t, stop: make(chan struct{})}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.stop)
		s.work.Wait()
		for _, pc := range s.pcs {
			_ = pc.GracefulClose()
		}
		web.Close()
	})
	return s, web.URL + "/whep/room"
}

func (s *mediaServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Header.Get("Authorization") != "Bearer pull" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch r.Method {
	case http.MethodDelete:
		s.deletes++
	case http.MethodPatch:
		err := s.pcs[len(s.pcs)-1].SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(body)})
		if err != nil {
			s.t.Error(err)
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodPost:
		s.posts++
		if s.status != 0 {
			w.WriteHeader(s.status)
			return
		}
		if s.posts <= s.busy {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusConflict)
			return
		}
		text, err := s.connect(string(body))
		if err != nil {
			s.t.Error(err)
		}
		w.Header().Set("Location", fmt.Sprintf("/session/%d", s.posts))
		w.Header().Set("Content-Type", "application/sdp")
		if s.counter {
			w.WriteHeader(http.StatusNotAcceptable)
		} else {
			w.WriteHeader(http.StatusCreated)
		}
		fmt.Fprint(w, text)
	}
}

// connect opens a connection that sends a packet every 20 ms.
func (s *mediaServer) connect(offer string) (string, error) {
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return "", err
	}
	s.pcs = append(s.pcs, pc)
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypePCMU, ClockRate: 8000}, "a", "s")
	if err != nil {
		return "", err
	}
	if _, err := pc.AddTrack(track); err != nil {
		return "", err
	}
	var local webrtc.SessionDescription
	if s.counter {
		local, err = pc.CreateOffer(nil)
	} else if err = pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer}); err == nil {
		local, err = pc.CreateAnswer(nil)
	}
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(local); err != nil {
		return "", err
	}
	<-gathered
	s.work.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		p := rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 160)}
		for {
			select {
			case <-tick.C:
				p.SequenceNumber++
				p.Timestamp += 160
				_ = track.WriteRTP(&p)
			case <-s.stop:
				return
			}
		}
	})
	return pc.LocalDescription().SDP, nil
}

func (s *mediaServer) counts() (posts, deletes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts, s.deletes
}

// ear counts packets and calls enough at a given number.
type ear struct {
	enough func()
	mu     sync.Mutex
	heard  int
}

func (e *ear) Track(ctx context.Context, track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) error {
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		_ = track.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		_, _, err := track.Read(buf)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			e.mu.Lock()
			if e.heard++; e.heard == 20 {
				e.enough()
			}
			e.mu.Unlock()
		}
	}
	return nil
}

func TestFetch(t *testing.T) {
	for name, c := range map[string]struct {
		counter bool
		busy    int
	}{"201": {}, "406 with a counter-offer": {counter: true}, "409 with Retry-After, twice": {busy: 2}} {
		t.Run(name, func(t *testing.T) {
			s, url := newMediaServer(t)
			s.counter, s.busy = c.counter, c.busy
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			e := &ear{enough: cancel}
			err := whep.Run(ctx, whep.Config{
				URL:   url,
				Token: "pull",
				Leg:   e,
				First: time.Millisecond,
				Tries: 5,
			})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error is %v", err)
			}
			if posts, deletes := s.counts(); e.heard < 20 || posts != c.busy+1 || deletes != 1 {
				t.Errorf("heard %d packets, %d sessions, %d ended", e.heard, posts, deletes)
			}
		})
	}
}

// A lost connection is set up again.
func TestReconnect(t *testing.T) {
	s, url := newMediaServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e := &ear{}
	first := true
	e.enough = func() {
		if !first {
			cancel()
			return
		}
		first, e.heard = false, 0
		s.mu.Lock()
		pc := s.pcs[0]
		s.mu.Unlock()
		s.work.Go(func() { _ = pc.GracefulClose() })
	}
	if err := whep.Run(ctx, whep.Config{URL: url, Token: "pull", Leg: e, First: time.Millisecond}); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v", err)
	}
	if posts, _ := s.counts(); posts != 2 {
		t.Errorf("%d sessions", posts)
	}
}

func TestWhatIsGivenUp(t *testing.T) {
	s, url := newMediaServer(t)
	run := func(token, target string, tries int) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		return whep.Run(ctx, whep.Config{
			URL:     target,
			Token:   token,
			Leg:     &ear{},
			First:   time.Millisecond,
			Longest: time.Millisecond,
			Tries:   tries,
		})
	}
	if err := run("bad", url, 0); err == nil || !strings.Contains(err.Error(), "HTTP 401") {
		t.Errorf("a bad token: %v", err)
	}
	s.status = http.StatusServiceUnavailable
	if err := run("pull", url, 3); err == nil || !strings.Contains(err.Error(), "HTTP 503") {
		t.Errorf("with 503 at each attempt: %v", err)
	}
	if posts, _ := s.counts(); posts != 3 {
		t.Errorf("%d attempts", posts)
	}
	if err := run("pull", "ftp://x", 0); err == nil {
		t.Error("no web address")
	}
}
