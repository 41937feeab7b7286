package peers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"callscreen/internal/demo"
	"callscreen/internal/publish"
	"callscreen/internal/testkit"
)

// Two users are in a VideoRoom of Janus. The room forwards each as plain RTP to a bridge of its own. The user with the synthetic
// voice is flagged.
func TestJanus(t *testing.T) {
	path := mediaServer(t, "janus", "janus")
	if !besidesLoopback(t) {
		t.Skip("the machine has no address but loopback, which Janus does not use")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program, addr := build(t), sidecar(ctx, t)
	j := newJanus(ctx, t, path)
	control := j.attach()
	if r := control.ask(map[string]any{
		"request":    "create",
		"room":       1234,
		"audiocodec": "opus",
		"publishers": 2,
	}, nil); r.Data["videoroom"] != "created" {
		t.Fatalf("no room was created: %v", r.Data)
	}
	bridges := map[string]*bridge{}
	var playing sync.WaitGroup
	seconds := 0.0
	for leg, voice := range map[string][]byte{"caller": demo.Synthetic, "agent": demo.Human} {
		media, err := publish.Opus(bytes.NewReader(voice))
		if err != nil {
			t.Fatal(err)
		}
		media.Packets = media.Packets[:min(len(media.Packets), 600)]
		seconds = media.Seconds()
		b := newBridge(ctx, t, program, "codec=opus&payload=111&idle=2s", "http://"+addr+"/whip/janus/"+leg)
		bridges[leg] = b
		p := j.publish(leg)
		forward := map[string]any{"request": "rtp_forward", "room": 1234, "publisher_id": p.id, "host": "127.0.0.1", "host_family": "ipv4",
			"streams": []any{map[string]any{"mid": "0", "port": b.port}}}
		if r := control.ask(forward, nil); r.Data["videoroom"] != "rtp_forward" {
			t.Fatalf("the RTP forward was not created: %v", r.Data)
		}
		playing.Go(func() {
			if err := inRealTime(ctx, media, p.track.WriteRTP); err != nil {
				t.Error(err)
			}
		})
	}
	playing.Wait()
	for leg, b := range bridges {
		signal := map[string]os.Signal{"agent": syscall.SIGTERM}[leg] // the caller's ends by itself
		t.Logf("%s: %s", leg, b.ended(signal))
	}
	s := decided(ctx, t, addr, "janus")
	t.Logf("%+v", s)
	s.verdicts(t, map[string]string{"caller": "flagged", "agent": "clear"}, seconds)
	if s.Decision != "flagged" {
		t.Errorf("the call is %s", s.Decision)
	}
}

func besidesLoopback(t *testing.T) bool {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return true
		}
	}
	return false
}

// janusUnused holds the plugins that the tests do not need.
const janusUnused = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_echotest.so,libjanus_lua.so,libjanus_nosip.so," +
	"libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,libjanus_textroom.so,libjanus_videocall.so,libjanus_voicemail.so"

// janusServer is a Janus server with its HTTP API on loopback.
type janusServer struct {
	t       *testing.T
	ctx     context.Context
	url     string
	session string
}

// janusAnswer is a response or an event of Janus.
type janusAnswer struct {
	Janus  string
	Data   map[string]any
	JSEP   struct{ SDP string }
	Error  struct{ Reason string }
	Sender float64
	Plugin struct{ Data map[string]any } `json:"plugindata"`
}

func newJanus(ctx context.Context, t *testing.T, path string) *janusServer {
	t.Helper()
	dir, port := t.TempDir(), testkit.FreePort(t)
	plugins, err := filepath.Glob("/usr/lib/*/janus/plugins")
	if err != nil || len(plugins) == 0 {
		t.Fatalf("Janus has no plugins: %v", err)
	}
	lib := filepath.Dir(plugins[0])
	for name, text := range map[string]string{
		"janus.jcfg": fmt.Sprintf(`general: { configs_folder = %q, plugins_folder = %q, transports_folder = %q, debug_level = 4 }
plugins: { disable = %q }
transports: { disable = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,libjanus_rabbitmq.so,libjanus_websockets.so" }
`, dir, lib+"/plugins", lib+"/transports", janusUnused),
		"janus.transport.http.jcfg": fmt.Sprintf(
			"general: { http = true, port = %d, ip = \"127.0.0.1\", https = false }\nadmin: { admin_http = false }\n",
			port,
		),
		"janus.plugin.videoroom.jcfg": "general: {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	daemon(t, path, "-F", dir, "-C", filepath.Join(dir, "janus.jcfg"), "-o")
	j := &janusServer{t: t, ctx: ctx, url: fmt.Sprintf("http://127.0.0.1:%d/janus", port)}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for { // the server is up when it responds
		r, err := j.try(http.MethodPost, "", map[string]any{"janus": "create"})
		if err == nil {
			j.session = fmt.Sprintf("/%.0f", r.Data["id"])
			return j
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func (j *janusServer) try(method, path string, message map[string]any) (r janusAnswer, err error) {
	var body bytes.Buffer
	if message != nil {
		message["transaction"] = "t"
		if err := json.NewEncoder(&body).Encode(message); err != nil {
			return r, err
		}
	}
	q, err := http.NewRequestWithContext(j.ctx, method, j.url+path, &body)
	if err != nil {
		return r, err
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		return r, err
	}
	if r.Janus == "error" {
		return r, errors.New(r.Error.Reason)
	}
	return r, nil
}

// janusHandle is a user of the VideoRoom.
type janusHandle struct {
	*janusServer
	path string
	id   float64
}

func (j *janusServer) attach() *janusHandle {
	j.t.Helper()
	r, err := j.try(http.MethodPost, j.session, map[string]any{"janus": "attach", "plugin": "janus.plugin.videoroom"})
	if err != nil {
		j.t.Fatal(err)
	}
	h := &janusHandle{janusServer: j}
	h.id, _ = r.Data["id"].(float64)
	h.path = fmt.Sprintf("%s/%.0f", j.session, h.id)
	return h
}

// ask sends a message to the plugin and waits for its result, which is in the response or in an event.
func (h *janusHandle) ask(body map[string]any, offer *webrtc.SessionDescription) janusAnswer {
	h.t.Helper()
	message := map[string]any{"janus": "message", "body": body}
	if offer != nil {
		message["jsep"] = map[string]any{"type": "offer", "sdp": offer.SDP, "trickle": false}
	}
	r, err := h.try(http.MethodPost, h.path, message)
	for err == nil && (r.Janus == "ack" || r.Janus == "event" && r.Sender != h.id || r.Janus != "success" && r.Janus != "event") {
		r, err = h.try(http.MethodGet, h.session+"?maxev=1", nil)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	r.Data = r.Plugin.Data
	return r
}

// janusPublisher is a participant of the room that sends audio.
type janusPublisher struct {
	id    float64
	track *webrtc.TrackLocalStaticRTP
}

// publish joins the room and sends an Opus track.
func (j *janusServer) publish(name string) janusPublisher {
	t := j.t
	t.Helper()
	var settings webrtc.SettingEngine
	settings.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	// Janus ignores the loopback interface, whatever its configuration. Both sides use another address of the machine.
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	})
	connected := make(chan struct{})
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	track, err := webrtc.NewTrackLocalStaticRTP(
		webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
		"audio",
		name,
	)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	h := j.attach()
	joined := h.ask(map[string]any{"request": "join", "ptype": "publisher", "room": 1234, "display": name}, nil)
	p := janusPublisher{track: track}
	p.id, _ = joined.Data["id"].(float64)
	r := h.ask(map[string]any{"request": "publish"}, pc.LocalDescription())
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: r.JSEP.SDP}); err != nil {
		t.Fatalf("%v: %v", err, r.Data)
	}
	select {
	case <-connected:
	case <-time.After(15 * time.Second):
		t.Fatalf("no media connection:\n%s\n%s", pc.LocalDescription().SDP, r.JSEP.SDP)
	}
	return p
}
