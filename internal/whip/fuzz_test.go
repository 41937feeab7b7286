package whip

import (
	"strings"
	"testing"
)

func FuzzOffer(f *testing.F) {
	f.Add("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\na=sendonly\r\n")
	f.Add("v=0\r\nm=audio 9 X 0\r\nm=audio 9 X 0\r\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, body string) {
		o, err := readOffer(body)
		if err != nil {
			return
		}
		// What was repaired needs no further repair.
		again, err := readOffer(o.sdp)
		if err != nil || again.unbundle {
			t.Errorf("%v %q", err, o.sdp)
		}
		_, _ = o.checkAnswer(body)
		credentials(o.sdp)
	})
}

func FuzzFragment(f *testing.F) {
	f.Add("a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 127.0.0.1 9 typ host\r\na=end-of-candidates\r\n")
	f.Add("hello")
	f.Fuzz(func(t *testing.T, body string) {
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
