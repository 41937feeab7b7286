package whip_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"callscreen/internal/intake"
	"callscreen/internal/rtc"
	"callscreen/internal/whip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// house is a WHIP server with an intake that records its calls.
type house struct {
	t      *testing.T
	server *whip.Server
	http   *httptest.Server

	mu       sync.Mutex
	sessions []intake.Request
	closed   []intake.Departure
	packets  map[string]int
	refuse   error
	last     time.Time     // arrival of the last packet
	slow     time.Duration // for each packet, as on a busy machine
}

func newHouse(t *testing.T, change func(*whip.Config)) *house {
	t.Helper()
	engine, err := rtc.New(rtc.Config{TCPPort: -1})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, packets: map[string]int{}}
	cfg := whip.Config{Engine: engine, Intake: h, Auth: func(_ context.Context, token string) (intake.Sender, bool) {
		who, ok := map[string]intake.Sender{
			"good":  {Name: "pbx"},
			"other": {Name: "sbc"},
			"this":  {Name: "pbx", Call: "c1", Leg: "caller"},
			"that":  {Name: "pbx", Call: "c2"},
		}[token]
		return who, ok
	}}
	if change != nil {
		change(&cfg)
	}
	h.server = whip.NewServer(cfg)
	h.http = httptest.NewServer(h.server)
	t.Cleanup(func() {
		h.http.Close()
		http.DefaultClient.CloseIdleConnections()
		h.server.Close()
		if n := h.server.Stats().Open; n != 0 {
			t.Errorf("%d sessions were not closed", n)
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *house) Accept(_ context.Context, s intake.Request) (whip.Receiver, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return nil, h.refuse
	}
	h.sessions = append(h.sessions, s)
	return &room{h, s}, nil
}

type room struct {
	house *house
	what  intake.Request
}

func (r *room) LastPacket() time.Time {
	r.house.mu.Lock()
	defer r.house.mu.Unlock()
	return r.house.last
}

func (r *room) Track(ctx context.Context, track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) error {
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		_ = track.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, _, err := track.Read(buf); err == nil {
			r.house.mu.Lock()
			r.house.packets[r.what.Leg]++
			r.house.last = time.Now()
			slow := r.house.slow
			r.house.mu.Unlock()
			time.Sleep(slow)
		} else if errors.Is(err, io.EOF) {
			return nil
		}
	}
	return nil
}

func (r *room) Close(how intake.Departure) {
	r.house.mu.Lock()
	defer r.house.mu.Unlock()
	r.house.closed = append(r.house.closed, how)
}

func (h *house) heard(leg string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.packets[leg]
}

// until waits until ok returns true.
func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("timeout: waited in vain for %s", what)
		}
	}
}

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (h *house) ask(method, path, body string, header ...string) answer {
	h.t.Helper()
	u, err := url.Parse(h.http.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	if u, err = u.Parse(path); err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func (h *house) post(sdp string, header ...string) answer {
	h.t.Helper()
	return h.ask(http.MethodPost, "/whip/call/caller", sdp, append([]string{"Content-Type", "application/sdp"}, header...)...)
}

// sender is a WHIP client that uses pion.
type sender struct {
	pc    *webrtc.PeerConnection
	track *rawTrack
	stop  context.CancelFunc
	work  sync.WaitGroup
}

// rawTrack is a track that can also send under an SSRC that its description does not declare.
type rawTrack struct {
	*webrtc.TrackLocalStaticRTP
	mu  sync.Mutex
	out webrtc.TrackLocalWriter
}

func (r *rawTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out = ctx.WriteStream()
	return r.TrackLocalStaticRTP.Bind(ctx)
}

// raw sends a packet of PCMU with the header as it is.
func (r *rawTrack) raw(h rtp.Header) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.out.WriteRTP(&h, make([]byte, 160))
	return err
}

func newSender(t *testing.T, trickle bool) (*sender, string) {
	t.Helper()
	return newSenderWith(t, trickle, func(*webrtc.SettingEngine) {}, func(*webrtc.PeerConnection) error { return nil })
}

// newSenderWith returns a sender with further settings, and with what first adds before the audio.
func newSenderWith(
	t *testing.T,
	trickle bool,
	set func(*webrtc.SettingEngine),
	first func(*webrtc.PeerConnection) error,
) (*sender, string) {
	t.Helper()
	settings := webrtc.SettingEngine{}
	settings.SetIncludeLoopbackCandidate(true)
	set(&settings)
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(media)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{pc: pc}
	if err := first(pc); err != nil {
		t.Fatal(err)
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{
		MimeType:  webrtc.MimeTypePCMU,
		ClockRate: 8000,
	}, "a", "s")
	if err != nil {
		t.Fatal(err)
	}
	s.track = &rawTrack{TrackLocalStaticRTP: track}
	if _, err := pc.AddTransceiverFromTrack(s.track, webrtc.RTPTransceiverInit{
		Direction: webrtc.RTPTransceiverDirectionSendonly,
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	t.Cleanup(func() {
		cancel()
		s.work.Wait()
		_ = pc.GracefulClose()
	})
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	s.work.Go(func() { // a packet every 20 ms until the test ends
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		p := rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, 160)}
		for {
			select {
			case <-tick.C:
				p.SequenceNumber++
				p.Timestamp += 160
				_ = s.track.WriteRTP(&p)
			case <-ctx.Done():
				return
			}
		}
	})
	text := pc.LocalDescription().SDP
	if trickle {
		text = regexp.MustCompile(`(?m)^a=(candidate|end-of-candidates).*\r\n`).ReplaceAllString(text, "")
	}
	return s, text
}

func (s *sender) accept(t *testing.T, a answer) {
	t.Helper()
	if a.status != http.StatusCreated {
		t.Fatalf("HTTP %d: %s", a.status, a.body)
	}
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.body}); err != nil {
		t.Fatal(err)
	}
}
