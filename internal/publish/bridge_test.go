package publish_test

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"callscreen/capture"
	"callscreen/internal/publish"
	"callscreen/internal/whip/whiptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bridged runs a bridge into a studio while feed sends to it, and returns the recording and the summary.
func bridged(
	t *testing.T,
	query string,
	opt *publish.Options,
	feed func(s *whiptest.Studio, at net.Addr),
) (*whiptest.Studio, publish.Summary) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	s := whiptest.New(t, false)
	src, err := publish.ParseRTP("rtp://127.0.0.1:0?" + query)
	if err != nil {
		t.Fatal(err)
	}
	listening := make(chan net.Addr, 1)
	opt.To, opt.Listening = s.URL+"/whip/call/caller", func(a net.Addr) { listening <- a }
	done := make(chan struct{})
	var sum publish.Summary
	go func() {
		defer close(done)
		sum, err = publish.Bridge(ctx, src, opt)
	}()
	feed(s, <-listening)
	<-done
	if err != nil || ctx.Err() != nil {
		t.Fatal(err, ctx.Err())
	}
	return s, sum
}

// sounds checks that the tone of the recording is at its time: after one second of silence, for two seconds.
func sounds(t *testing.T, pcm []int16, rate int, hz float64) {
	t.Helper()
	if got := float64(len(pcm)) / float64(rate); math.Abs(got-4) > 0.05 {
		t.Errorf("%.3f s instead of 4", got)
	}
	for at, want := range map[float64]bool{0.9: false, 1.1: true, 2: true, 2.9: true, 3.1: false} {
		from := int((at - 0.025) * float64(rate))
		if from+rate/20 > len(pcm) {
			continue
		}
		if got := amplitude(pcm[from:from+rate/20], hz, rate) > 4000; got != want {
			t.Errorf("%v Hz: heard %v at %v s", hz, got, at)
		}
	}
}

func needFFmpeg(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatal("ffmpeg is not installed")
		}
		t.Skip("ffmpeg is not installed")
	}
}

// Tone in by plain RTP, tone out behind WHIP, for every codec and with disturbances on the way.
func TestPlainRTPBecomesALeg(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	types := map[string]uint8{"pcmu": 0, "pcma": 8, "g722": 9, "opus": 107}
	for _, c := range []struct {
		name, codec, query string
		feed               func(p *pbx, m *publish.Media)
		missing            uint64
		unsent             string
	}{
		{"Opus", "opus", "codec=opus&payload=107", func(p *pbx, m *publish.Media) { p.play(m, nil) }, 0, ""},
		{"PCMA with losses", "pcma", "codec=pcma&from=127.0.0.1", func(p *pbx, m *publish.Media) {
			p.play(m, func(i int, _ *rtp.Packet) bool { return i%20 != 10 && i != 61 && i != 62 })
		}, 12, ""},
		{"G.722 out of order", "g722", "", func(p *pbx, m *publish.Media) {
			var held *rtp.Packet
			p.play(m, func(i int, packet *rtp.Packet) bool {
				if i%7 == 3 && i+1 < len(m.Packets) {
					held = packet
					return false
				}
				p.send(*packet)
				if held != nil {
					p.send(*held)
					held = nil
				}
				return false
			})
		}, 0, ""},
		{"PCMU with keys pressed, and others who send", "pcmu", "", func(p *pbx, m *publish.Media) {
			other := newPBX(p.t, p.to, 0)
			p.play(m, func(i int, packet *rtp.Packet) bool {
				switch {
				case i == 20: // a report
					b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: p.ssrc}})
					if err != nil {
						p.t.Error(err)
					}
					p.raw(b)
				case i > 20 && i < 30:
					other.send(*packet)
					p.raw([]byte("garbage"))
				case i >= 160 && i < 170: // in the silence at the end
					packet.PayloadType, packet.Payload = 101, []byte{5, 10, 0, 160}
				}
				return true
			})
		}, 0, "10 of payload type 101, 9 from another address, 9 not RTP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.codec == "opus" {
				needFFmpeg(t)
			}
			m, err := publish.Load(t.Context(), tone(t, 1000, 8000), c.codec, -1)
			if err != nil {
				t.Fatal(err)
			}
			s, sum := bridged(t, c.query, &publish.Options{}, func(_ *whiptest.Studio, at net.Addr) {
				p := newPBX(t, at, types[c.codec])
				c.feed(p, m)
				p.bye()
			})
			if err := sum.Err(); err != nil || sum.Connected != 1 || sum.Unsent.String() != c.unsent {
				t.Errorf("%+v: not sent: %s", sum, sum.Unsent)
			}
			if lost := <-s.Closed; lost {
				t.Error("the leg was not hung up")
			}
			pcm, rate, stats := s.Recorded()
			sounds(t, pcm, rate, 1000)
			if stats.Missing != c.missing || stats.Undecoded+stats.Late+stats.Malformed+stats.Restarts+stats.Duplicate > 0 {
				t.Errorf("%+v", stats)
			}
			t.Logf("sent %d, not sent: %q, %+v", sum.Packets, sum.Unsent.String(), stats)
		})
	}
}

// The codec changes twice in the session, also to another rate and with another SSRC: the tone goes on.
func TestAChangeOfTheCodecIsFollowed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	t.Parallel()
	parts := map[int]*publish.Media{}
	types := []uint8{0, 8, 9}
	for i, codec := range []string{"pcmu", "pcma", "g722"} {
		m, err := publish.Load(t.Context(), tone(t, 1000, 8000), codec, -1)
		if err != nil {
			t.Fatal(err)
		}
		parts[i] = m
	}
	s, sum := bridged(t, "", &publish.Options{}, func(_ *whiptest.Studio, at net.Addr) {
		p := newPBX(t, at, 0)
		p.play(parts[0], func(i int, packet *rtp.Packet) bool {
			part := min(2, max(0, i-60)/30) // changes at 1.8 s and 2.4 s
			packet.PayloadType, packet.Payload = types[part], parts[part].Packets[i].Payload
			if part == 2 {
				packet.SSRC, packet.SequenceNumber, packet.Timestamp = 0xbeef, uint16(20000+i), packet.Timestamp-1e9
			}
			return true
		})
		p.ssrc = 0xbeef
		p.bye()
	})
	pcm, rate, stats := s.Recorded()
	sounds(t, pcm, rate, 1000)
	if sum.Err() != nil || sum.Packets != 200 || len(s.Opened) != 1 || stats.Missing+stats.Malformed+stats.Undecoded > 0 {
		t.Errorf("%+v, %d sessions, %+v: %v", sum, len(s.Opened), stats, sum.Err())
	}
}

// Packets of an unknown codec reach the server as undecodable, so that the leg is not complete there either.
func TestTheServerCountsWhatCannotBeDecoded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	t.Parallel()
	m, err := publish.Load(t.Context(), tone(t, 1000, 8000), "pcmu", -1)
	if err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]int{"from the start": 0, "in the middle": 80} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, sum := bridged(t, "", &publish.Options{}, func(_ *whiptest.Studio, at net.Addr) {
				p := newPBX(t, at, 0)
				p.play(m, func(i int, packet *rtp.Packet) bool {
					if i >= first {
						packet.PayloadType = 96
					}
					return true
				})
				p.bye()
			})
			if err := sum.Err(); err == nil || !strings.Contains(err.Error(), "payload type 96") {
				t.Errorf("%+v: %v", sum, err)
			}
			l := s.Ledger()
			if got := l.Unrecorded[capture.UnrecordedCodec].Packets; got != int64(200-first) || l.Lost.Packets != 0 || l.Check() != nil {
				t.Errorf("%+v: %v", l, l.Check())
			}
			if lost := <-s.Closed; lost {
				t.Error("the leg was not hung up, although the server knows all of it")
			}
		})
	}
}

// The server cannot know of a second source. The leg is not hung up then, so that it counts as interrupted.
func TestASecondSourceLeavesTheLegInterrupted(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	t.Parallel()
	m, err := publish.Load(t.Context(), tone(t, 1000, 8000), "pcmu", -1)
	if err != nil {
		t.Fatal(err)
	}
	s, sum := bridged(t, "", &publish.Options{}, func(_ *whiptest.Studio, at net.Addr) {
		p, other := newPBX(t, at, 0), newPBX(t, at, 0)
		p.play(m, func(i int, packet *rtp.Packet) bool {
			if i >= 100 && i < 150 {
				other.send(*packet)
			}
			return true
		})
		p.bye()
	})
	if err := sum.Err(); err == nil || !strings.Contains(err.Error(), "50 came from another address") || sum.Packets != 200 {
		t.Errorf("%+v: %v", sum, err)
	}
	if len(s.Closed) > 0 || !s.End("call", "caller") {
		t.Error("the leg was hung up as if it were complete")
	}
}

// A re-INVITE in the middle of the call gives another SSRC and lower numbers after half a second of silence. The leg
// and its time continue in the same session.
func TestAnotherSSRCGoesOn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	t.Parallel()
	m, err := publish.Load(t.Context(), tone(t, 1000, 8000), "pcmu", -1)
	if err != nil {
		t.Fatal(err)
	}
	s, sum := bridged(t, "idle=5s", &publish.Options{}, func(_ *whiptest.Studio, at net.Addr) {
		p := newPBX(t, at, 0)
		p.play(m, func(i int, packet *rtp.Packet) bool {
			if i >= 100 {
				packet.SSRC, packet.SequenceNumber, packet.Timestamp = 0xbeef, uint16(20000+i), packet.Timestamp-1e9
			}
			if i == 100 { // the first stream ends as it should, the call does not
				p.bye()
			}
			return i < 100 || i >= 125
		})
		p.ssrc = 0xbeef
		p.bye()
	})
	pcm, rate, stats := s.Recorded()
	if sum.Err() != nil || sum.Packets != 175 || len(s.Opened) != 1 || stats.Restarts+stats.Missing+stats.Malformed > 0 {
		t.Errorf("%+v, %d sessions, %+v", sum, len(s.Opened), stats)
	}
	// The machine may send the first packet of the second stream late, and then the following ones too; never early.
	if got := float64(len(pcm)) / float64(rate); got < 3.97 || got > 4.5 {
		t.Errorf("%.3f s instead of 4", got)
	}
	for at, want := range map[float64]bool{0.9: false, 1.9: true, 2.25: false, 2.85: true} {
		if got := amplitude(pcm[int(at*8000)-200:int(at*8000)+200], 1000, rate) > 4000; got != want {
			t.Errorf("heard %v at %v s", got, at)
		}
	}
}

// cut is an HTTP transport that fails while it is dark, and counts the failures.
type cut struct {
	*http.Transport
	dark   *atomic.Bool
	failed atomic.Int32
}

func (c *cut) RoundTrip(r *http.Request) (*http.Response, error) {
	if !c.dark.Load() {
		return c.Transport.RoundTrip(r)
	}
	if c.failed.Add(1) == 3 { // the hang-up and two attempts to restart fail, later requests succeed
		c.dark.Store(false)
	}
	return nil, errors.New("it is dark")
}

// The network to the sidecar breaks, for media and for requests. The leg is restarted after hanging up the old session,
// the packets of some seconds are kept, and the time continues.
func TestABrokenSessionIsBegunAnew(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some ten seconds")
	}
	t.Parallel()
	m, err := publish.Load(t.Context(), tone(t, 1000, 8000), "pcmu", -1)
	if err != nil {
		t.Fatal(err)
	}
	var dark atomic.Bool
	client := &cut{Transport: &http.Transport{}, dark: &dark}
	opt := &publish.Options{Impairment: publish.Impairment{Blackout: dark.Load}, Client: &http.Client{Transport: client}}
	s, sum := bridged(t, "idle=3s", opt, func(s *whiptest.Studio, at net.Addr) {
		p := newPBX(t, at, 0)
		again, played := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(again)
			<-s.Opened
			select {
			case <-s.Opened:
				if len(s.Closed) != 1 {
					t.Error("the old session still had the place of the leg")
				}
			case <-played:
				t.Error("the session was not restarted")
			}
		}()
		for i := range 4 { // 16 s
			p.play(m, func(n int, packet *rtp.Packet) bool {
				packet.SequenceNumber, packet.Timestamp = uint16(200*i+n), uint32(32000*i+160*n)
				if i == 0 && n == 100 {
					dark.Store(true)
				}
				return true
			})
		}
		close(played)
		<-again
		p.bye()
	})
	pcm, rate, stats := s.Recorded()
	if sum.Err() != nil || sum.Connected != 1 || sum.Reconnects != 1 {
		t.Errorf("%+v: %v", sum, sum.Err())
	}
	if got := float64(len(pcm)) / float64(rate); got < 15.9 || got > 17 {
		t.Errorf("%.3f s instead of 16", got)
	}
	if got := amplitude(pcm[len(pcm)-20000:len(pcm)-12000], 1000, rate); got < 4000 {
		t.Errorf("the last tone has the amplitude %v", got)
	}
	t.Logf("sent %d, not sent: %q, %.2f s lost, %+v", sum.Packets, sum.Unsent.String(), float64(stats.Lost)/float64(rate), stats)
}

// Every end of a leg has its own report.
func TestTheEndsOfALeg(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	short := func(t *testing.T) *publish.Media {
		m, err := publish.Load(t.Context(), tone(t, 1000, 8000), "pcmu", -1)
		if err != nil {
			t.Fatal(err)
		}
		m.Packets = m.Packets[:50]
		return m
	}
	for _, c := range []struct {
		name, query string
		feed        func(t *testing.T, s *whiptest.Studio, at net.Addr)
		connected   int
		problem     string
	}{
		{"silence", "idle=500ms", func(t *testing.T, _ *whiptest.Studio, at net.Addr) { newPBX(t, at, 0).play(short(t), nil) }, 1, ""},
		{"nothing comes", "wait=200ms", func(*testing.T, *whiptest.Studio, net.Addr) {}, 0, "no RTP came to"},
		{
			"only another payload type",
			"idle=500ms",
			func(t *testing.T, s *whiptest.Studio, at net.Addr) { newPBX(t, at, 111).play(short(t), nil) },
			1,
			"payload=111",
		},
		{"one stray packet", "wait=300ms", func(t *testing.T, _ *whiptest.Studio, at net.Addr) {
			m := short(t)
			m.Packets = m.Packets[:1]
			newPBX(t, at, 0).play(m, nil)
		}, 0, "only 1 stray packets"},
		{"a handshake of DTLS", "wait=300ms", func(t *testing.T, _ *whiptest.Studio, at net.Addr) {
			newPBX(t, at, 0).raw([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0})
		}, 0, "1 of DTLS"},
		{"the server ends it", "idle=20s", func(t *testing.T, s *whiptest.Studio, at net.Addr) {
			newPBX(t, at, 0).play(short(t), func(i int, _ *rtp.Packet) bool {
				if i == 40 && !s.End("call", "caller") {
					t.Error("there was no session")
				}
				return true
			})
			newPBX(t, at, 0).bye() // of a stranger, which ends nothing
		}, 1, "the server ended the session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, sum := bridged(t, c.query, &publish.Options{}, func(s *whiptest.Studio, at net.Addr) { c.feed(t, s, at) })
			err := sum.Err()
			if sum.Connected != c.connected || (err == nil) != (c.problem == "") || err != nil && !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%+v: %v", sum, err)
			}
		})
	}
}
