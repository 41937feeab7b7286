package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"

	"callscreen/encode"
)

func TestMain(m *testing.M) {
	lksdk.SetLogger(logger.GetDiscardLogger())
	goleak.VerifyTestMain(m)
}

const (
	key    = "devkey"
	secret = "a secret of 32 characters at least, for tests only"
	token  = "6b1d0f8e5a7c4923b8e1d2f04a6c9357"
)

// output keeps the output of a process.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs a program until stop is called, or the test is over.
func start(t *testing.T, env []string, program string, args ...string) (stop func(), said *output) {
	t.Helper()
	cmd := exec.Command(program, args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CALLSCREEN_") && !strings.HasPrefix(kv, "LIVEKIT_") && !strings.HasPrefix(kv, "DATASPIKE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, env...)
	said = &output{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(program), said)
		}
	})
	t.Cleanup(stop)
	return stop, said
}

func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		// The kernel gives ports of its own choice, from 32768 on, to other sockets meanwhile.
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err != nil {
			continue
		}
		defer l.Close()
		return l.Addr().(*net.TCPAddr).Port
	}
	t.Fatal("no port is free")
	return 0
}

func until(ctx context.Context, t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// scene is a LiveKit server, a sidecar, and the bridge between them.
type scene struct {
	t        *testing.T
	ctx      context.Context
	url      string // of LiveKit
	sidecar  string // its address
	bin, dir string // of the sidecar
	stop     func() // the sidecar
	log      *output
	leave    func() // stops the bridge, and waits for it
}

func newScene(t *testing.T, change func(*bridge)) *scene {
	t.Helper()
	server := os.Getenv("CALLSCREEN_LIVEKIT")
	if server == "" {
		server = filepath.Join("..", "..", "..", "bin", "livekit-server")
	}
	if _, err := os.Stat(server); err != nil {
		if os.Getenv("CALLSCREEN_REQUIRE_PEERS") == "1" {
			t.Fatalf("livekit-server: %v (hint: make livekit builds it)", err)
		}
		t.Skip("livekit-server is not there (make livekit builds it)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	s := &scene{
		t:   t,
		ctx: ctx,
		dir: t.TempDir(),
		bin: filepath.Join(t.TempDir(), "callscreen"),
		log: &output{},
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", s.bin, "./cmd/callscreen")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	port := freePort(t)
	s.url = fmt.Sprintf("ws://127.0.0.1:%d", port)
	start(
		t,
		nil,
		server,
		"--dev",
		"--bind",
		"127.0.0.1",
		"--node-ip",
		"127.0.0.1",
		"--config-body",
		fmt.Sprintf(
			"{port: %d, keys: {%s: %q}, rtc: {tcp_port: %d, udp_port: %d, enable_loopback_candidate: true, use_external_ip: false}}",
			port,
			key,
			secret,
			freePort(t),
			freePort(t),
		),
	)
	until(ctx, t, "LiveKit answers", func() bool {
		resp, err := http.Get(strings.Replace(s.url, "ws", "http", 1))
		return err == nil && resp.Body.Close() == nil
	})
	s.sidecar = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	s.serve()
	b := bridge{
		url:        s.url,
		key:        key,
		secret:     secret,
		callscreen: "http://" + s.sidecar,
		token:      token,
		log:        slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&b)
	}
	media := &webrtc.MediaEngine{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	b.api = webrtc.NewAPI(webrtc.WithMediaEngine(media))
	bridgeCtx, end := context.WithCancel(context.Background())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		b.run(bridgeCtx)
	}()
	s.leave = func() {
		end()
		<-gone
		http.DefaultClient.CloseIdleConnections()
	}
	t.Cleanup(func() {
		s.leave()
		if t.Failed() {
			t.Logf("bridge:\n%s", s.log)
		}
	})
	return s
}

// serve starts the sidecar on its earlier data.
func (s *scene) serve() {
	s.t.Helper()
	var said *output
	s.stop, said = start(s.t, []string{"CALLSCREEN_LISTEN=" + s.sidecar, "CALLSCREEN_WEBRTC_UDP_PORT=0", "CALLSCREEN_WEBRTC_TCP_PORT=0",
		"CALLSCREEN_DATA_DIR=" + filepath.Join(
			s.dir,
			"data",
		), "CALLSCREEN_SPOOL_MIN_FREE_MB=1", "CALLSCREEN_ADMIN_TOKEN=" + token}, s.bin, "serve", "--simulate")
	until(s.ctx, s.t, "callscreen serves", func() bool { return strings.Contains(said.String(), "msg=serving") })
}

// speaker is a participant that plays a recording.
type speaker struct {
	room *lksdk.Room
	over chan struct{} // closed at the end of the recording
}

func (s *scene) speaker(room, identity, file string, attributes map[string]string) *speaker {
	s.t.Helper()
	jwt, err := auth.NewAccessToken(key, secret).
		SetVideoGrant(&auth.VideoGrant{RoomJoin: true, Room: room}).
		SetIdentity(identity).
		SetAttributes(attributes).
		ToJWT()
	if err != nil {
		s.t.Fatal(err)
	}
	p := &speaker{room: lksdk.NewRoom(lksdk.NewRoomCallback()), over: make(chan struct{})}
	if err := p.room.JoinWithContextAndToken(s.ctx, s.url, jwt); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.room.Disconnect)
	f, err := os.Open(filepath.Join("..", "..", "..", "internal", "demo", file))
	if err != nil {
		s.t.Fatal(err)
	}
	track, err := lksdk.NewLocalReaderTrack(f, webrtc.MimeTypeOpus, lksdk.ReaderTrackWithOnWriteComplete(func() { close(p.over) }))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := p.room.LocalParticipant.PublishTrack(track, &lksdk.TrackPublicationOptions{Name: "microphone"}); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *scene) wait(what string, c <-chan struct{}) {
	s.t.Helper()
	select {
	case <-c:
	case <-s.ctx.Done():
		s.t.Fatalf("waited in vain: %s", what)
	}
}

func (s *scene) get(path string) []byte {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.ctx, http.MethodGet, "http://"+s.sidecar+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v: %s", path, resp.Status, err, data)
	}
	return data
}

func (s *scene) metric(name string) int {
	s.t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(s.get("/metrics"))
	if m == nil {
		s.t.Fatalf("there is no %s", name)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(n)
}

type report struct {
	Decision string            `json:"decision"`
	State    string            `json:"state"`
	Final    bool              `json:"final"`
	Duration float64           `json:"duration_seconds"`
	Lost     float64           `json:"lost_seconds"`
	Metadata map[string]string `json:"metadata"`
	Legs     []struct {
		Leg      string `json:"leg"`
		Decision string `json:"decision"`
	} `json:"legs"`
}

func (s *scene) report(call string) (r report) {
	s.t.Helper()
	s.get("/api/v1/calls/" + call + "/decision?wait=60s")
	if err := json.Unmarshal(s.get("/api/v1/calls/"+call), &r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// seconds returns the duration of a recording.
func seconds(t *testing.T, file string) float64 {
	t.Helper()
	src, err := encode.Open(t.Context(), filepath.Join("..", "..", "..", "internal", "demo", file), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	block, samples := make([]float32, 4800), 0
	for {
		n, err := src.Read(block)
		samples += n
		if err != nil {
			return float64(samples) / float64(src.Format().Rate*src.Format().Channels)
		}
	}
}

var ended = regexp.MustCompile(`msg="leg ended" call=(\S+) leg=(\S+) seconds=(\d+) packets=(\d+) joined=(\d+)`)

// A human and a synthetic voice speak in a room. Only the synthetic leg is flagged.
func TestARoomIsScreened(t *testing.T) {
	s := newScene(t, func(b *bridge) {
		b.legs, b.metadata = pairs{"alice": "agent"}, pairs{"queue": "payments"}
	})
	human := s.speaker(
		"room-1",
		"alice",
		"human.opus",
		map[string]string{"callscreen.leg": "caller", "callscreen.queue": "surveys", "callscreen.vip": "yes"}, // of no effect
	)
	synthetic := s.speaker("room-1", "bob", "synthetic.opus", nil)
	s.wait("the recordings are played", human.over)
	s.wait("the recordings are played", synthetic.over)
	for _, p := range human.room.GetRemoteParticipants() {
		if p.Identity() != "bob" {
			t.Errorf("%s is to be seen in the room", p.Identity())
		}
	}
	human.room.Disconnect()
	synthetic.room.Disconnect()
	until(s.ctx, t, "both legs have ended", func() bool { return len(ended.FindAllString(s.log.String(), -1)) == 2 })
	r := s.report("room-1")
	t.Logf("%+v", r)
	legs := map[string]string{}
	for _, l := range r.Legs {
		legs[l.Leg] = l.Decision
	}
	if r.Decision != "flagged" || !r.Final || len(legs) != 2 || legs["agent"] != "clear" || legs["bob"] != "flagged" {
		t.Errorf("%+v", r)
	}
	if len(r.Metadata) != 1 || r.Metadata["queue"] != "payments" {
		t.Errorf("%v", r.Metadata)
	}
	// Audio from before both connections, to LiveKit and to callscreen, is lost.
	if want := max(seconds(t, "human.opus"), seconds(t, "synthetic.opus")); r.Duration < want-3 || r.Duration > want+3 {
		t.Errorf("%v s recorded of %v", r.Duration, want)
	}
	sent := 0
	for _, m := range ended.FindAllStringSubmatch(s.log.String(), -1) {
		n, err := strconv.Atoi(m[4])
		if err != nil || m[5] != "1" {
			t.Errorf("%q, %v", m[0], err)
		}
		sent += n
	}
	received, lost := s.metric("callscreen_packets_received_total"), s.metric("callscreen_packets_lost_total")
	t.Logf("%d packets forwarded, %d received, %d lost", sent, received, lost)
	// Packets that are forwarded before the media is connected are lost.
	if received > sent || received < sent-50 || lost > 0 {
		t.Errorf("%d packets forwarded, %d received, %d lost", sent, received, lost)
	}
	if n := s.metric("callscreen_whip_sessions_lost_total"); n != 0 {
		t.Errorf("%d sessions were lost", n)
	}
}

// After a restart of the sidecar the leg joins again, as a part of the same call.
func TestASidecarThatIsStartedAgain(t *testing.T) {
	s := newScene(t, nil)
	p := s.speaker("room-2", "bob", "synthetic.opus", nil)
	until(s.ctx, t, "the leg has begun", func() bool { return s.metric("callscreen_packets_received_total") > 50 })
	s.stop()
	s.serve()
	until(s.ctx, t, "the leg is back", func() bool { return s.metric("callscreen_packets_received_total") > 50 })
	s.wait("the recording is played", p.over)
	p.room.Disconnect()
	until(s.ctx, t, "the leg has ended", func() bool { return ended.MatchString(s.log.String()) })
	if m := ended.FindStringSubmatch(s.log.String()); m[5] != "2" {
		t.Errorf("%q", m[0])
	}
	if r := s.report("room-2"); r.Decision != "flagged" || !r.Final {
		t.Errorf("%+v", r)
	}
}

// The name of a leg comes from the operator, or is the identity of the token. No participant takes a name that the operator
// gave to another one.
func TestNamesOfLegs(t *testing.T) {
	b := bridge{legs: pairs{"alice": "agent", "carol": "bob"}}
	for identity, want := range map[string]string{
		"alice": "agent",
		"carol": "bob",
		"dave":  "dave",
		"agent": "participant agent",
		"bob":   "participant bob",
	} {
		if got := b.legName(identity); got != want {
			t.Errorf("%s is the leg %q, not %q", identity, got, want)
		}
	}
	var p pairs
	for text, ok := range map[string]bool{"a=b": true, "a=b=c": true, "a": false, "=b": false, "a=": false} {
		if err := p.Set(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
