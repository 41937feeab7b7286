package whip

import (
	"strings"
	"testing"
)

// The candidates of another section of the BUNDLE group are those of the audio, unless that section has credentials of its own.
func TestCandidatesOfASharedTransport(t *testing.T) {
	const offer = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE v a\r\n" +
		"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:v\r\na=ice-ufrag:UFRAG\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\na=setup:passive\r\n" +
		"a=fingerprint:sha-256 AA:BB\r\na=rtpmap:96 VP8/90000\r\na=candidate:1 1 udp 1 127.0.0.1 4001 typ host\r\n" +
		"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\na=candidate:2 1 udp 1 127.0.0.1 4002 typ host\r\n"
	for name, c := range map[string]struct {
		old, ufrag string
		shared     bool
	}{
		"the audio has no credentials":         {"", "same", true},
		"the audio has the same credentials":   {"a=mid:a\r\na=ice-ufrag:same\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\n", "same", true},
		"the audio has credentials of its own": {"a=mid:a\r\na=ice-ufrag:mine\r\na=ice-pwd:aaaaaaaaaaaaaaaaaaaaaaaa\r\n", "mine", false},
	} {
		text := strings.Replace(offer, "UFRAG", "same", 1)
		if c.old != "" {
			text = strings.Replace(text, "a=mid:a\r\n", c.old, 1)
		}
		o, err := readOffer(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !o.active || !strings.Contains(o.sdp, "a=ice-ufrag:"+c.ufrag) || !strings.Contains(o.sdp, "127.0.0.1 4002") {
			t.Errorf("%s: %s", name, o.sdp)
		}
		if got := strings.Contains(o.sdp, "127.0.0.1 4001"); got != c.shared {
			t.Errorf("%s: the candidate of the video is used: %v", name, got)
		}
	}
}
