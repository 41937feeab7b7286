package whip

import (
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"callscreen/internal/testkit"
)

func FuzzOffer(f *testing.F) {
	f.Add(
		"v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
			"m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=sendonly\r\n",
	)
	f.Add("v=0\r\nm=audio 9 X 0\r\nm=audio 9 X 0\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > maxSDP {
			return // refused before it is looked at
		}
		defer testkit.Bounded(t)()
		o, err := readOffer(body)
		if err != nil {
			return
		}
		// A repaired offer needs no further repair.
		again, err := readOffer(o.sdp)
		if err != nil || again.unbundle {
			t.Errorf("%v %q", err, o.sdp)
		}
		_, _ = o.checkAnswer(body)
		credentials(o.sdp)
	})
}

func FuzzFragment(f *testing.F) {
	f.Add(
		"a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" +
			"a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n",
	)
	f.Add("hello")
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > maxSDP {
			return // refused before it is looked at
		}
		defer testkit.Bounded(t)()
		fragment, err := readFragment(body)
		if err != nil {
			return
		}
		for _, c := range fragment.candidates {
			if strings.ContainsAny(c.Candidate, "\n") || c.SDPMid == nil {
				t.Errorf("%q", c.Candidate)
			}
		}
		_, _ = restarted("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 X 0\r\na=ice-ufrag:a\r\n", fragment)
	})
}

// FuzzNegotiation passes accepted offers to the WebRTC library, which must handle them within bounded time and memory.
func FuzzNegotiation(f *testing.F) {
	const start = "v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n" +
		"a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n"
	f.Add(
		start + "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=setup:actpass\r\n" +
			"a=ice-ufrag:abcd\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na=rtcp-mux\r\n" +
			"a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\na=sendonly\r\n" +
			"a=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\n",
	)
	f.Add(
		start + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n" +
			"a=mid:0\r\na=ice-ufrag:abcd\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na=extmap:1 x\r\n" +
			"a=ssrc:5 cname:x\r\n",
	)
	f.Fuzz(func(t *testing.T, body string) {
		if len(body) > 8<<10 {
			return
		}
		defer testkit.Bounded(t)()
		o, err := readOffer(body)
		if err != nil {
			return
		}
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = pc.GracefulClose() }() // its error is not under test
		if pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: o.sdp}) != nil {
			return
		}
		if answer, err := pc.CreateAnswer(nil); err == nil {
			_, _ = o.checkAnswer(answer.SDP)
			answerFragment(answer.SDP, true)
		}
	})
}
