package config

import (
	"strings"

	"github.com/pion/stun/v4"
)

// withoutUser returns a URI without the user and the password that browsers do not take there.
func withoutUser(uri string) string {
	scheme, rest, _ := strings.Cut(uri, ":")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		return scheme + ":[redacted]" + rest[i:]
	}
	return uri
}

// validateICE checks the STUN and TURN servers, so that an error shows at start and not at the first call.
func (w WebRTC) validateICE(ps *Problems) {
	turn := false
	for _, text := range w.ICEServers {
		u, err := stun.ParseURI(text)
		if err != nil {
			ps.add(
				"webrtc.ice_servers",
				"write stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT?transport=tcp",
				"%q is not a STUN or TURN URI",
				withoutUser(text),
			)
			continue
		}
		turn = turn || u.Scheme == stun.SchemeTypeTURN || u.Scheme == stun.SchemeTypeTURNS
	}
	switch {
	case turn && w.TURNSecret == "":
		ps.add(
			"webrtc.turn_secret_file",
			"set "+envTURNSecret+" or webrtc.turn_secret_file",
			"TURN servers require credentials, but none are set",
		)
	case !turn && w.TURNUsername != "":
		ps.add(
			"webrtc.turn_username",
			"add turn:HOST:PORT to webrtc.ice_servers, or remove this key",
			"is set, but webrtc.ice_servers has no TURN server",
		)
	}
}
