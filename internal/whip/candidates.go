package whip

import (
	"net/netip"
	"strings"

	"github.com/pion/ice/v4"
)

// mostChecked is the number of candidates that get checks, until an ICE restart. The others are accepted and ignored.
const mostChecked = 32

// wanted reports whether a candidate is checked. Names, and addresses without a host, cannot be. A TCP candidate with
// tcptype passive or so would have this side open a connection. Component 2 is RTCP, which shares the port.
func wanted(candidate string) bool {
	words := strings.Fields(strings.TrimPrefix(candidate, "candidate:"))
	if len(words) < 8 {
		return true // the WebRTC library reports what is wrong
	}
	addr, err := netip.ParseAddr(words[4])
	if err != nil || addr.IsUnspecified() || addr.IsMulticast() || words[1] != "1" {
		return false
	}
	return strings.EqualFold(words[2], "udp")
}

// parses reports whether the WebRTC library can read a candidate. In an offer the others are ignored, RFC 8839 section 5.1.
func parses(candidate string) bool {
	_, err := ice.UnmarshalCandidate(candidate)
	return err == nil
}
