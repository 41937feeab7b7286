// Package whiptest is a WHIP server for tests of senders. It keeps the audio of a leg.
package whiptest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"callscreen/capture"
	"callscreen/encode"
	"callscreen/internal/intake"
	"callscreen/internal/rtc"
	"callscreen/internal/whip"
)

// Tape keeps the audio of a leg, with silence for missing audio.
type Tape struct{ PCM []int16 }

// Write implements capture.Sink.
func (p *Tape) Write(pcm []int16) { p.PCM = append(p.PCM, pcm...) }

// Conceal implements capture.Sink.
func (p *Tape) Conceal(pcm []int16) { p.PCM = append(p.PCM, pcm...) }

// Gap implements capture.Sink.
func (p *Tape) Gap(n int64, _ bool) { p.PCM = append(p.PCM, make([]int16, n)...) }

// Pause implements capture.Sink.
func (p *Tape) Pause() {}

// Studio records one leg. It implements whip.Intake and whip.Receiver.
type Studio struct {
	URL    string         // of the web server; the WHIP endpoint is under /whip/
	Web    *http.ServeMux // for other routes of a test
	Closed chan bool      // one value for each ended session: whether it was lost
	Opened chan struct{}  // one value for each session
	server *whip.Server

	mu     sync.Mutex
	leg    *capture.Leg
	rate   int
	tape   Tape
	codecs []string
}

// New starts a Studio, which ends with the test. red makes it ask for redundant audio.
func New(t *testing.T, red bool) *Studio {
	t.Helper()
	engine, err := rtc.New(rtc.Config{TCPPort: -1, PreferRED: red})
	if err != nil {
		t.Fatal(err)
	}
	s := &Studio{Closed: make(chan bool, 16), Opened: make(chan struct{}, 16), Web: http.NewServeMux()}
	s.server = whip.NewServer(whip.Config{Engine: engine, Intake: s})
	s.Web.Handle("/whip/", s.server)
	web := httptest.NewServer(s.Web)
	s.URL = web.URL
	t.Cleanup(func() {
		web.Close()
		s.server.Close()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Recorded returns the audio so far, its rate in Hz, and the packet counts.
func (s *Studio) Recorded() (pcm []int16, rate int, stats capture.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leg != nil {
		stats = s.leg.Stats()
	}
	return s.tape.PCM, s.rate, stats
}

// Ledger returns the account of all packets.
func (s *Studio) Ledger() capture.Ledger {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leg == nil {
		return capture.Ledger{}
	}
	return s.leg.Ledger()
}

// Codecs returns those of the tracks so far.
func (s *Studio) Codecs() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codecs
}

// Accept implements whip.Intake.
func (s *Studio) Accept(context.Context, intake.Request) (whip.Receiver, error) {
	s.Opened <- struct{}{}
	return s, nil
}

// LastPacket implements whip.Receiver. It is not known here.
func (s *Studio) LastPacket() time.Time { return time.Time{} }

// Close implements whip.Receiver.
func (s *Studio) Close(how intake.Departure) { s.Closed <- how != intake.HungUp }

// Track implements whip.Receiver.
func (s *Studio) Track(ctx context.Context, track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) error {
	if err := s.begin(track.Codec(), receiver.GetParameters().Codecs); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for ctx.Err() == nil {
		if err := track.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return err
		}
		n, _, err := track.Read(buf)
		s.mu.Lock()
		if n > 0 { // with an error if its payload type was not negotiated
			s.leg.Push(buf[:n], time.Now())
		}
		s.leg.Tick(time.Now())
		s.mu.Unlock()
		if errors.Is(err, io.EOF) {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leg.Flush()
	return nil
}

// begin prepares the leg for a track, the first or a further one.
func (s *Studio) begin(codec webrtc.RTPCodecParameters, negotiated []webrtc.RTPCodecParameters) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	types := map[uint8]capture.PayloadType{}
	for _, c := range append([]webrtc.RTPCodecParameters{codec}, negotiated...) {
		p := capture.PayloadType{ClockRate: c.ClockRate}
		switch strings.ToLower(c.MimeType) {
		case "audio/red":
			p.Kind = capture.KindRED
		case "audio/telephone-event":
			p.Kind = capture.KindEvent
		case "audio/cn":
			p.Kind = capture.KindNoise
		default:
			d, err := encode.NewRTPDecoder(c.MimeType, -1)
			if err != nil {
				return err
			}
			p.Decoder = d
			if s.rate == 0 {
				s.rate = d.Rate()
			}
		}
		if _, known := types[uint8(c.PayloadType)]; !known {
			types[uint8(c.PayloadType)] = p
		}
	}
	s.codecs = append(s.codecs, codec.MimeType)
	if s.leg != nil {
		s.leg.Renegotiate(types)
		return nil
	}
	var err error
	s.leg, err = capture.NewLeg(capture.LegConfig{Rate: s.rate, PayloadTypes: types}, &s.tape)
	return err
}

// End ends the session of a leg and reports whether there was one.
func (s *Studio) End(call, leg string) bool {
	return s.server.End(call, leg, func(intake.Sender) bool { return true })
}
