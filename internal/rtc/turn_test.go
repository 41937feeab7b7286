package rtc

import (
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

func TestCredentialsOfTURN(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	urls := []string{"stun:a.example.com", "turn:b.example.com:3478", "turns:c.example.com?transport=tcp"}
	for name, c := range map[string]struct {
		ice                ICE
		username, password string
	}{
		// printf '%s' 1700043200:callscreen | openssl dgst -sha1 -hmac 'north of south' -binary | base64
		"a shared secret":        {ICE{URLs: urls, Secret: "north of south"}, "1700043200:callscreen", "lNwMWtrrThiKiPy9wLpoawe1kng="},
		"a name and a password":  {ICE{URLs: urls, Username: "me", Secret: "north of south"}, "me", "north of south"},
		"neither, as with STUN":  {ICE{URLs: urls[:1]}, "", ""},
		"a server nobody guards": {ICE{URLs: urls}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := c.ice.servers(now)
			if len(got) != len(c.ice.URLs) {
				t.Fatalf("%+v", got)
			}
			for i, s := range got {
				username, password := c.username, c.password
				if s.URLs[0] != c.ice.URLs[i] {
					t.Errorf("%d is %v", i, s.URLs)
				}
				if i == 0 { // STUN asks for nothing, and is told nothing
					username, password = "", ""
				}
				if s.Username != username || (s.Credential != password && (password != "" || s.Credential != nil)) {
					t.Errorf("%s: %q %q", s.URLs[0], s.Username, s.Credential)
				}
			}
		})
	}
}

// The address on the outgoing route is replaced, separately for IPv4 and IPv6.
func TestBehindNAT(t *testing.T) {
	rules, err := behindNAT([]string{"127.0.0.1", "203.0.113.7"})
	if err != nil || len(rules) != 1 || rules[0].Local != "127.0.0.1" || len(rules[0].External) != 2 ||
		rules[0].AsCandidateType != webrtc.ICECandidateTypeHost {
		t.Errorf("%+v, %v", rules, err)
	}
	rules, err = behindNAT([]string{"2001:db8::7", "127.0.0.1"})
	if err != nil || len(rules) != 2 || rules[0].External[0] != "127.0.0.1" || rules[1].External[0] != "2001:db8::7" {
		t.Errorf("%+v, %v", rules, err)
	}
	if _, err := behindNAT([]string{"example.com"}); err == nil {
		t.Error("a name is an address")
	}
}
