package peers_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"
	"go.uber.org/goleak"

	"callscreen/analyzer"
	"callscreen/analyzer/simulator"
	"callscreen/internal/app"
	"callscreen/internal/config"
	"callscreen/internal/publish"
	"callscreen/internal/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mediaServer returns the path of a media server. If it is missing, the test is skipped, or fails where media servers are
// required.
func mediaServer(t *testing.T, program, pkg string) string {
	t.Helper()
	if testing.Short() {
		t.Skip("takes as long as the call")
	}
	path, err := exec.LookPath(program)
	switch {
	case err == nil:
	case os.Getenv("CALLSCREEN_REQUIRE_MEDIA_SERVERS") == "1":
		t.Fatalf("%s is not installed (hint: apt-get install %s)", program, pkg)
	default:
		t.Skipf("%s is not installed", program)
	}
	return path
}

// daemon runs a media server until the test ends. Its output is logged if the test fails.
func daemon(t *testing.T, path string, args ...string) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the error reports the signal
	}()
	t.Cleanup(func() { // runs after the context of the test has ended
		<-done
		out.Close()
		if text, err := os.ReadFile(log); err == nil && t.Failed() {
			t.Logf("output of %s:\n%s", path, text[max(0, len(text)-8000):])
		}
	})
}

// bearer is the token of the senders that have one. Without tokens in the configuration the sidecar ignores it.
const bearer = "0ee1ca8c4a1d24dd8a4f2b8d3ad5e1f6"

// sidecar runs callscreen with the simulated analysis API. With a role it requires the token bearer, which has the roles.
func sidecar(ctx context.Context, t *testing.T, roles ...string) (addr string) {
	t.Helper()
	api := httptest.NewServer(simulator.New(simulator.Script{}))
	t.Cleanup(api.Close)
	client, err := analyzer.New("key", &analyzer.Options{BaseURL: api.URL, PollInitial: 5 * time.Millisecond, PollMax: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	cfg := config.Default()
	cfg.Listen, cfg.DataDir = "127.0.0.1:0", t.TempDir()
	cfg.WebRTC.UDPPort, cfg.WebRTC.TCPPort = 0, 0
	if len(roles) > 0 {
		sum := sha256.Sum256([]byte(bearer))
		cfg.Auth.Tokens = []config.Token{{Name: "peer", Roles: roles, SHA256: hex.EncodeToString(sum[:])}}
	}
	a, err := app.New(ctx, app.Options{Config: cfg, API: client, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() { done <- a.Run(running) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return a.Addr()
}

// build builds the program as in releases.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "callscreen")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "callscreen/cmd/callscreen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// bridge is a running `callscreen publish rtp://...`.
type bridge struct {
	t      *testing.T
	cmd    *exec.Cmd
	port   int // at which it listens
	stdout strings.Builder
	stderr chan string
}

func newBridge(ctx context.Context, t *testing.T, program, query, to string) *bridge {
	t.Helper()
	b := &bridge{t: t, stderr: make(chan string, 1)}
	b.cmd = exec.CommandContext(ctx, program, "publish", "rtp://127.0.0.1:0?"+query, "--to", to)
	b.cmd.Stdout = &b.stdout
	pipe, err := b.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(pipe)
	first, err := lines.ReadString('\n')
	if _, scanErr := fmt.Sscanf(first, "callscreen: listening for RTP at 127.0.0.1:%d", &b.port); err != nil || scanErr != nil {
		t.Fatalf("the first line of the bridge is %q: %v", first, err)
	}
	go func() {
		rest, _ := io.ReadAll(lines) // all output until the end of the process
		b.stderr <- string(rest)
	}()
	return b
}

// ended sends a signal, if it is not nil, waits for the end of the bridge and returns its last line.
func (b *bridge) ended(signal os.Signal) string {
	b.t.Helper()
	if signal != nil {
		if err := b.cmd.Process.Signal(signal); err != nil {
			b.t.Error(err)
		}
	}
	rest := <-b.stderr
	if err := b.cmd.Wait(); err != nil || rest != "" {
		b.t.Errorf("%v: %s", err, rest)
	}
	return strings.TrimSpace(b.stdout.String())
}

// screened holds the decision of a call.
type screened struct {
	Decision string
	Legs     []struct {
		Leg, Decision string
		Score         *float64
		Seconds       float64 `json:"duration_seconds"`
		Lost          float64 `json:"lost_seconds"`
		Ledger        *report.Ledger
	}
}

func decided(ctx context.Context, t *testing.T, addr, call string) (s screened) {
	t.Helper()
	for _, path := range []string{"/decision?wait=30s", ""} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/api/v1/calls/"+call+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+bearer)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || json.Unmarshal(body, &s) != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("HTTP %d %s %v", resp.StatusCode, body, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	return s
}

// verdicts checks the decision and the amount of recorded audio of each leg.
func (s screened) verdicts(t *testing.T, want map[string]string, seconds float64) {
	t.Helper()
	if len(s.Legs) != len(want) {
		t.Errorf("%+v", s)
	}
	for _, leg := range s.Legs {
		if leg.Decision != want[leg.Leg] || leg.Seconds < seconds-1 || leg.Seconds > seconds+1 || leg.Lost > 0.2 {
			t.Errorf("leg %s: %+v, want %s and %.1f s", leg.Leg, leg, want[leg.Leg], seconds)
		}
	}
}

// inRealTime plays a recording as RTP.
func inRealTime(ctx context.Context, m *publish.Media, send func(*rtp.Packet) error) error {
	packet := rtp.Packet{Header: rtp.Header{
		Version:        2,
		Marker:         true,
		SequenceNumber: 65000,
		Timestamp:      1<<32 - 5000,
		SSRC:           0xcafe,
	}}
	start, ticks := time.Now(), uint64(0)
	for _, media := range m.Packets {
		due := start.Add(time.Duration(float64(ticks) / float64(m.Codec.ClockRate) * float64(time.Second)))
		select {
		case <-time.After(time.Until(due)):
		case <-ctx.Done():
			return ctx.Err()
		}
		packet.Payload = media.Payload
		q := packet
		if err := send(&q); err != nil {
			return err
		}
		packet.Marker = false
		packet.SequenceNumber++
		packet.Timestamp += media.Ticks
		ticks += uint64(media.Ticks)
	}
	return nil
}
