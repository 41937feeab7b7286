package publish

import (
	"errors"
	"io"
	"net"
	"net/url"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"
)

// bind returns the local address to send from: loopback for a server on this machine, otherwise any (nil).
func (o *Options) bind() net.IP {
	u, err := url.Parse(o.To)
	if err != nil {
		return nil
	}
	switch ip := net.ParseIP(u.Hostname()); {
	case u.Hostname() == "localhost":
		return net.IPv4(127, 0, 0, 1)
	case ip != nil && ip.IsLoopback():
		return ip
	}
	return nil
}

// network opens the transports for the media of a call: one UDP socket for IPv4 and IPv6, and TCP if the server accepts
// it and UDP does not work. Impairments apply to the UDP socket, so with them it is the only transport.
func (s *session) network() (settings webrtc.SettingEngine, closeAll func() error, err error) {
	local := s.opt.bind()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: local})
	if err != nil {
		return settings, nil, err
	}
	// The log of pion about ending calls is not useful here.
	quiet := &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}
	mux := webrtc.NewICEUDPMux(quiet.NewLogger("ice"), impair(conn, s.opt.Impairment, s.seed))
	settings.LoggerFactory = quiet
	settings.SetICEUDPMux(mux)
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if local == nil && s.opt.Impairment.none() {
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.SetNetworkTypes(networks)
	settings.SetIncludeLoopbackCandidate(true)
	if settings.SetICETimeouts(5*time.Second, 25*time.Second, 2*time.Second); s.lostAfter > 0 {
		settings.SetICETimeouts(s.lostAfter, s.lostAfter, s.lostAfter/4)
	}
	return settings, mux.Close, nil
}

var errNoMedia = errors.New(
	"no media connection after 15 s (hint: open the UDP and TCP ports of the server for media; behind NAT, set webrtc.public_ips)",
)
