package rtc

import (
	"log/slog"
	"net"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// Single returns an API for one connection with its own socket. closeMux closes the socket.
func Single(conn net.PacketConn) (api *webrtc.API, closeMux func() error, err error) {
	settings := webrtc.SettingEngine{LoggerFactory: logs{slog.New(slog.DiscardHandler)}}
	receiveAll(&settings)
	mux := webrtc.NewICEUDPMux(logs{slog.New(slog.DiscardHandler)}.NewLogger("ice"), conn)
	settings.SetICEUDPMux(mux)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	settings.DisableActiveTCP(true)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	media, err := codecs()
	if err != nil {
		return nil, nil, err
	}
	registry, err := interceptors()
	if err != nil {
		return nil, nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(media),
		webrtc.WithInterceptorRegistry(registry),
	), mux.Close, nil
}
