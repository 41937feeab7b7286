package whip_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"

	"callscreen/internal/intake"
	"callscreen/internal/whip"
)

// Offers of real senders with defects are repaired. Without the repair pion rejects the audio with "m=audio 0" or returns an
// error.
func TestOffersOfRealSendersAreRepaired(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"no BUNDLE group (GStreamer's default)": func(s string) string {
			return regexp.MustCompile(`(?m)^a=group.*\r\n`).ReplaceAllString(
				s,
				"",
			)
		},
		"no mid (rtpengine without generate-mid)": func(s string) string {
			return regexp.MustCompile(`(?m)^a=(group|mid).*\r\n`).ReplaceAllString(s, "")
		},
		"codec names in capitals": func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, "opus/", "OPUS/"), "PCMU/", "pcmu/")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, nil)
			s, offer := newSender(t, false)
			a := h.post(change(offer))
			if strings.Contains(a.body, "m=audio 0") ||
				!strings.Contains(change(offer), "group:BUNDLE") && strings.Contains(a.body, "group:BUNDLE") {
				t.Errorf("HTTP %d %s", a.status, a.body)
			}
			// The test's own offer had a group and a mid, so that its peer expects them in the answer.
			if !strings.Contains(a.body, "a=group") {
				a.body = strings.Replace(a.body, "t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0\r\n", 1)
			}
			s.accept(t, a)
			h.until("media", func() bool { return h.heard("caller") > 5 })
		})
	}
}

// The packets of an SSRC that the offer does not declare used to be dropped beside those of one that it declares.
func TestAnUndeclaredSSRCIsReceived(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	if !strings.Contains(offer, "a=ssrc:") {
		t.Fatalf("the offer declares no SSRC: %s", offer)
	}
	s.accept(t, h.post(offer))
	h.until("media", func() bool { return h.heard("caller") > 5 })
	s.stop()
	s.work.Wait()
	for _, ssrc := range []uint32{77, 78} {
		before := h.heard("caller")
		seq := uint16(0)
		h.until("the packets of another SSRC", func() bool {
			seq++
			if err := s.track.raw(rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: uint32(seq) * 160, SSRC: ssrc}); err != nil {
				t.Fatal(err)
			}
			return h.heard("caller") > before+20
		})
	}
}

// SRTP used to drop copies and packets that came late, so that no ledger had them.
func TestCopiesAndLatePacketsAreReceived(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	s.accept(t, h.post(offer))
	h.until("media", func() bool { return h.heard("caller") > 5 })
	s.stop()
	s.work.Wait()
	time.Sleep(100 * time.Millisecond) // until all that was sent has arrived
	before := h.heard("caller")
	for range 50 {
		if err := s.track.raw(rtp.Header{Version: 2, SequenceNumber: 3, Timestamp: 480, SSRC: 79}); err != nil {
			t.Fatal(err)
		}
	}
	h.until("all copies", func() bool { return h.heard("caller") == before+50 })
}

// Video is refused, and the audio of the same offer is accepted.
func TestVideoIsRefusedAndAudioKept(t *testing.T) {
	h := newHouse(t, nil)
	s, _ := newSender(t, false)
	offer := s.pc.LocalDescription().SDP
	offer = strings.Replace(offer, "a=group:BUNDLE 0", "a=group:BUNDLE 0 v", 1)
	offer += "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\na=sendonly\r\na=mid:v\r\na=rtcp-mux\r\n" +
		"a=ice-ufrag:" + attribute(
		offer,
		"ice-ufrag",
	) + "\r\na=ice-pwd:" + attribute(offer, "ice-pwd") + "\r\na=setup:actpass\r\na=fingerprint:" + attribute(offer, "fingerprint") + "\r\n"
	a := h.post(offer)
	if a.status != http.StatusCreated || !strings.Contains(a.body, "m=video 0") || strings.Contains(a.body, "m=audio 0") {
		t.Errorf("HTTP %d %s", a.status, a.body)
	}
}

// The session of a sender that never connects, or that stops sending, is closed.
func TestSendersThatDoNothingAreGivenUp(t *testing.T) {
	h := newHouse(t, func(c *whip.Config) { c.Handshake = 200 * time.Millisecond })
	_, offer := newSender(t, false)
	if a := h.post(offer); a.status != http.StatusCreated { // the answer is not used
		t.Fatalf("HTTP %d %s", a.status, a.body)
	}
	h.until("the end of the session", func() bool { return h.server.Stats().Open == 0 })
	if s := h.server.Stats(); s.Lost != 1 || len(h.closed) != 1 || h.closed[0] != intake.Lost {
		t.Errorf("%+v, closed %v", s, h.closed)
	}
	silent := newHouse(t, func(c *whip.Config) { c.Idle = 2 * time.Second })
	s, offer := newSender(t, false)
	s.accept(t, silent.post(offer))
	silent.until("packets", func() bool { return silent.heard("caller") > 0 })
	s.stop()
	silent.until("the end of the session", func() bool { return silent.server.Stats().Open == 0 })
}

// A sender that disappears without DELETE counts as lost, and its session is closed.
func TestASenderThatGoesAway(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	s.accept(t, h.post(offer))
	h.until("media", func() bool { return h.heard("caller") > 5 })
	s.stop()
	s.work.Wait()
	if err := s.pc.GracefulClose(); err != nil { // sends the DTLS close notification, but no DELETE
		t.Fatal(err)
	}
	h.until("the end of the session", func() bool { return h.server.Stats().Open == 0 })
	if h.closed[0] != intake.Closed || h.server.Stats().Lost != 1 {
		t.Errorf("%v, %+v", h.closed, h.server.Stats())
	}
}

func TestManySessionsLeaveNothingBehind(t *testing.T) {
	h := newHouse(t, nil)
	_, offer := newSender(t, false)
	for range 60 {
		a := h.post(offer)
		if a.status != http.StatusCreated {
			t.Fatalf("HTTP %d %s", a.status, a.body)
		}
		if d := h.ask(http.MethodDelete, a.header.Get("Location"), ""); d.status != http.StatusOK {
			t.Fatalf("HTTP %d", d.status)
		}
	}
	if s := h.server.Stats(); s.Open != 0 || s.Opened != 60 || s.Lost != 0 {
		t.Errorf("%+v", s)
	}
}

// Packets that were sent before the DELETE are recorded, also by a machine that is too busy to have read them by then. Known fault: five
// packets at the end of a call were missing, and not booked.
func TestPacketsBeforeTheDeleteAreRecorded(t *testing.T) {
	h := newHouse(t, nil)
	s, offer := newSender(t, false)
	a := h.post(offer)
	s.accept(t, a)
	h.until("packets", func() bool { return h.heard("caller") > 0 })
	s.stop()
	s.work.Wait()
	before := 0
	h.until("all of them", func() bool {
		had := before
		before = h.heard("caller")
		time.Sleep(100 * time.Millisecond)
		return before == had
	})
	h.mu.Lock()
	h.slow = 3 * time.Millisecond
	h.mu.Unlock()
	const burst = 100
	for i := range burst {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(10_000 + i)}, Payload: make([]byte, 160)}
		if err := s.track.WriteRTP(&p); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.ask(http.MethodDelete, a.header.Get("Location"), ""); got.status != http.StatusOK {
		t.Fatalf("HTTP %d: %s", got.status, got.body)
	}
	if n := h.heard("caller") - before; n != burst {
		t.Errorf("%d of %d packets were recorded", n, burst)
	}
}
