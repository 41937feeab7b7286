package config

import "github.com/pion/stun/v4"

// validateICE judges the STUN and TURN servers. What is wrong with them would otherwise be told to each caller.
func (w WebRTC) validateICE(ps *Problems) {
	turn := false
	for _, text := range w.ICEServers {
		u, err := stun.ParseURI(text)
		if err != nil {
			ps.add(
				"webrtc.ice_servers",
				"write stun:HOST:PORT, turn:HOST:PORT or turns:HOST:PORT?transport=tcp",
				"%q is no STUN or TURN server",
				text,
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
			"a TURN server wants credentials, and there are none",
		)
	case !turn && w.TURNUsername != "":
		ps.add("webrtc.turn_username", "add turn:HOST:PORT to webrtc.ice_servers, or leave it empty", "there is no TURN server")
	}
}
