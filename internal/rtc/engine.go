// Package rtc configures pion WebRTC for receiving the audio of calls.
package rtc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/transport/v5/stdnet"
	"github.com/pion/webrtc/v4"
)

// Config configures the reception of media.
type Config struct {
	UDPPort   int      // shared by all sessions; 0 means any free port
	TCPPort   int      // TCP port; -1 means no TCP
	PublicIPs []string // addresses to offer instead of the local one, behind NAT
	Lite      bool     // ICE-lite, for a machine with a public address
	// Limited limits the connections of the TCP port. nil: no limit.
	Limited   func(net.Listener) net.Listener
	ICE       ICE
	PreferRED bool // ask senders for redundant audio, RFC 2198: twice the bitrate, half the losses
	Log       *slog.Logger
}

// Engine creates peer connections that receive audio on shared ports. It is safe for concurrent use.
type Engine struct {
	settings     webrtc.SettingEngine // copied for each session
	media        *webrtc.MediaEngine
	interceptors *interceptor.Registry
	udp          ice.UDPMux
	config       webrtc.Configuration
	ice          ICE
	red          bool
	close        []func() error
	port         int
}

// Session describes a peer connection.
type Session struct {
	// Active makes this side open the DTLS connection, for an offer with a=setup:passive.
	Active bool
	Budget *Budget // of its checks; required
}

// receiveAll has every packet of a peer reach the recorder, which books it: those of an SSRC that was not declared, copies and
// late ones, which SRTP would drop as a replay without a word, and large ones.
func receiveAll(settings *webrtc.SettingEngine) {
	settings.SetHandleUndeclaredSSRCWithoutAnswer(true)
	settings.DisableSRTPReplayProtection(true)
	settings.SetReceiveMTU(maxDatagram)
}

// maxDatagram bounds the size of a packet that is read. A PCM packet of 200 ms is longer than an Ethernet frame.
const maxDatagram = 4096

// checksWithinBudget is the number of checks of a pair of candidates: 8 s of them. Budget drops most of them if the sender does
// not answer. The default is 7.
const checksWithinBudget = 40

// ReceiveBuffer is the requested receive buffer, in bytes. It holds packets while the machine is busy: half a second at
// 200 calls.
const ReceiveBuffer = 4 << 20

// firstCheck is the time that a TCP connection has for its first valid check.
const firstCheck = 5 * time.Second

// New opens the ports.
func New(cfg Config) (_ *Engine, err error) {
	e := &Engine{red: cfg.PreferRED, ice: cfg.ICE}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.Close())
		}
	}()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	port, udp, err := openMedia(cfg.UDPPort, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("open UDP port %d for media: %w (hint: set webrtc.udp_port)", port, err)
	}
	e.port = port
	e.close = append(e.close, udp.Close)
	checkBuffer(cfg.Log)
	settings := webrtc.SettingEngine{LoggerFactory: logs{cfg.Log}}
	receiveAll(&settings)
	e.udp = udp
	networks := []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
	if cfg.TCPPort >= 0 {
		var listener net.Listener
		if listener, err = net.ListenTCP("tcp", &net.TCPAddr{Port: cfg.TCPPort}); err != nil {
			return nil, fmt.Errorf("open TCP port %d for media: %w (hint: set webrtc.tcp_port, 0 turns it off)", cfg.TCPPort, err)
		}
		if cfg.Limited != nil {
			listener = cfg.Limited(listener)
		}
		tcp := ice.NewTCPMuxDefault(ice.TCPMuxParams{
			Listener:                     listener,
			ReadBufferSize:               32,
			FirstStunBindTimeout:         firstCheck,
			AliveDurationForConnFromStun: firstCheck,
		})
		e.close = append(e.close, tcp.Close)
		settings.SetICETCPMux(tcp)
		networks = append(networks, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6)
	}
	settings.DisableActiveTCP(true) // a sender must not make this side open TCP connections
	if !cfg.ICE.relays() {          // checks through a TURN server are outside of the budget
		settings.SetICEMaxBindingRequests(checksWithinBudget)
	}
	settings.SetNetworkTypes(networks)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetLite(cfg.Lite)
	if len(cfg.PublicIPs) > 0 {
		rules, err := behindNAT(cfg.PublicIPs)
		if err != nil {
			return nil, err
		}
		if err := settings.SetICEAddressRewriteRules(rules...); err != nil {
			return nil, fmt.Errorf("webrtc.public_ips: %w", err)
		}
	}
	e.settings = settings
	if e.media, err = codecs(); err != nil {
		return nil, err
	}
	if e.interceptors, err = interceptors(); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := webrtc.GenerateCertificate(key)
	if err != nil {
		return nil, err
	}
	e.config = webrtc.Configuration{Certificates: []webrtc.Certificate{*certificate}, BundlePolicy: webrtc.BundlePolicyMaxBundle}
	return e, nil
}

// Port returns the UDP port of the media.
func (e *Engine) Port() int { return e.port }

// ICEServers returns the ICE servers for senders, with credentials that are valid from now on.
func (e *Engine) ICEServers() []webrtc.ICEServer { return e.ice.servers(time.Now()) }

// Close closes the ports. All peer connections must be closed before.
func (e *Engine) Close() error {
	var errs []error
	for i := len(e.close) - 1; i >= 0; i-- {
		errs = append(errs, e.close[i]())
	}
	e.close = nil
	return errors.Join(errs...)
}

// api returns the API of one session.
func (e *Engine) api(s Session) (*webrtc.API, error) {
	settings := e.settings
	settings.SetICEUDPMux(budgetMux{e.udp, s.Budget})
	if len(e.ice.URLs) > 0 {
		network, err := stdnet.NewNet()
		if err != nil {
			return nil, err
		}
		settings.SetNet(budgetNet{network, s.Budget})
	}
	// The DTLS server chooses the cipher: AES-GCM, at half the cost of the browsers' preference.
	role := webrtc.DTLSRoleServer
	if s.Active {
		role = webrtc.DTLSRoleClient
	}
	if err := settings.SetAnsweringDTLSRole(role); err != nil {
		return nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithSettingEngine(settings),
		webrtc.WithMediaEngine(e.media),
		webrtc.WithInterceptorRegistry(e.interceptors),
	), nil
}

// NewPeerConnection returns a connection with one transceiver that receives audio.
func (e *Engine) NewPeerConnection(s Session) (*webrtc.PeerConnection, error) {
	config := e.config
	config.ICEServers = e.ICEServers()
	api, err := e.api(s)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(config)
	if err != nil {
		return nil, err
	}
	t, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err == nil && e.red {
		err = t.SetCodecPreferences(append([]webrtc.RTPCodecParameters{red}, offered...))
	}
	if err != nil {
		return nil, errors.Join(err, pc.Close())
	}
	return pc, nil
}

var (
	red = webrtc.RTPCodecParameters{
		PayloadType:        63,
		RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/red", ClockRate: 48000, Channels: 2, SDPFmtpLine: "111/111"},
	}
	// No video: its codec tables alone would take 180 kB per call.
	offered = []webrtc.RTPCodecParameters{
		{PayloadType: 111, RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType:     webrtc.MimeTypeOpus,
			ClockRate:    48000,
			Channels:     2,
			SDPFmtpLine:  "minptime=10;useinbandfec=1",
			RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}, {Type: "transport-cc"}},
		}},
		{
			PayloadType: 9,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType:     webrtc.MimeTypeG722,
				ClockRate:    8000,
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
			},
		},
		{
			PayloadType: 0,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType:     webrtc.MimeTypePCMU,
				ClockRate:    8000,
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
			},
		},
		{
			PayloadType: 8,
			RTPCodecCapability: webrtc.RTPCodecCapability{
				MimeType:     webrtc.MimeTypePCMA,
				ClockRate:    8000,
				RTCPFeedback: []webrtc.RTCPFeedback{{Type: "nack"}},
			},
		},
		{PayloadType: 110, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/telephone-event", ClockRate: 48000}},
		{PayloadType: 126, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/telephone-event", ClockRate: 8000}},
		{PayloadType: 13, RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: "audio/CN", ClockRate: 8000}},
	}
)

func codecs() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	for _, c := range append([]webrtc.RTPCodecParameters{red}, offered...) {
		if err := m.RegisterCodec(c, webrtc.RTPCodecTypeAudio); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// interceptors returns the interceptors of a receiver: reports, which inform the sender about losses, and NACKs, early
// enough for retransmissions to arrive in time.
func interceptors() (*interceptor.Registry, error) {
	r := &interceptor.Registry{}
	reports, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, err
	}
	requests, err := nack.NewGeneratorInterceptor(nack.GeneratorInterval(20 * time.Millisecond))
	if err != nil {
		return nil, err
	}
	r.Add(reports)
	r.Add(requests)
	return r, nil
}
