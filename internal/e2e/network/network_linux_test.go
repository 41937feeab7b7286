package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/encode"
	"callscreen/internal/testkit"
)

// TestMain permits all tests to run in parallel, because they mostly wait for the end of calls.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(len(places))); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

const (
	token   = "6b1d0f8e5a7c4923b8e1d2f04a6c9357"
	port    = 8988 // of the media
	seconds = 8    // of the call
	packets = seconds * 50
)

// place holds the properties of a network.
type place struct {
	only6    bool
	rules    string   // of the router
	ends     string   // rules of sidecar and sender
	settings string   // of the sidecar, in its webrtc section
	secret   string   // of the TURN server, for the sidecar
	host     string   // of the sidecar, as the sender knows it
	turn     []string // options of coturn, if there is one
	loses    bool     // packets may be lost
}

// block returns rules for the router that drop all packets except the allowed ones and their responses.
func block(allowed string) string {
	return `
table inet filter {
	chain forward {
		type filter hook forward priority 0; policy drop
		ct state established,related accept
		` + allowed + `
	}
}
`
}

// loss drops 5 % of all UDP packets.
const loss = `
table inet filter {
	chain forward {
		type filter hook forward priority 0
		ip protocol udp numgen random mod 100 < 5 drop
	}
}
`

// nat is a router that maps another address to the sidecar, as clouds do. The sidecar's own address is not reachable.
const nat = `
table ip nat {
	chain before {
		type nat hook prerouting priority -100
		ip daddr 203.0.113.7 dnat to 10.1.0.2
	}
	chain after {
		type nat hook postrouting priority 100
		oifname sender ip saddr 10.1.0.2 snat to 203.0.113.7
	}
}
`

// relayed holds rules for both ends. They accept UDP only from the port of the TURN server, and not from its relay ports. So
// the media goes from one relay port to another.
const relayed = `
table inet own {
	chain input {
		type filter hook input priority 0
		iifname eth0 udp sport != 3478 drop
	}
}
`

// deaf is a router that drops UDP packets to itself.
const deaf = `
table inet own {
	chain input {
		type filter hook input priority 0
		iifname { sidecar, sender } meta l4proto udp drop
	}
}
`

var places = map[string]place{
	"ipv6":     {only6: true, host: sidecar6},
	"tcp":      {rules: block("tcp dport { 8080, 8988 } accept")},
	"tcp-ipv6": {only6: true, host: sidecar6, rules: block("tcp dport { 8080, 8988 } accept; meta l4proto ipv6-icmp accept")},
	"nat":      {rules: nat + block("ct status dnat accept"), host: public4, settings: "public_ips: [203.0.113.7]"},
	"nat-tcp":  {rules: nat + block("tcp dport { 8080, 8988 } ct status dnat accept"), host: public4, settings: "public_ips: [203.0.113.7]"},
	"lite":     {settings: "ice_lite: true"},
	"loss":     {rules: loss, loses: true},
	// The router forwards only WHIP, so that the media must use TURN.
	"turn": {
		rules:    block("tcp dport 8080 accept"),
		ends:     relayed,
		settings: "ice_servers: ['turn:10.1.0.1:3478']",
		secret:   "secret of both",
		turn:     []string{"--use-auth-secret", "--static-auth-secret=secret of both"},
	},
	"turn-tcp": {
		rules:    block("tcp dport 8080 accept") + deaf,
		settings: "ice_servers: ['turn:10.1.0.1:3478?transport=tcp']\n  turn_username: callscreen",
		secret:   "password",
		turn:     []string{"--lt-cred-mech", "--user=callscreen:password"},
	},
}

// A call through each of these networks arrives completely and is flagged.
func TestNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while")
	}
	if os.Getuid() != 0 {
		need(t, "network namespaces", errors.New("only root makes them"))
	}
	sweep(t)
	bin := filepath.Join(t.TempDir(), "callscreen")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "callscreen/cmd/callscreen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	call := recording(t)
	for name, p := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			if p.turn != nil {
				needProgram(t, "turnserver")
			}
			w := newWorld(t, !p.only6, p.only6)
			w.filter(w.router, p.rules)
			w.filter(w.sidecar, p.ends)
			w.filter(w.sender, p.ends)
			if p.turn != nil {
				w.relay(ctx, p.turn)
			}
			s := w.serve(ctx, bin, p)
			sent := w.publish(ctx, bin, call, s.base+"/whip/call/caller")
			s.judge(ctx, sent, p.loses)
		})
	}
}

// recording returns a file with the first seconds of the synthetic voice.
func recording(t *testing.T) string {
	t.Helper()
	src, err := encode.Open(t.Context(), "../../../testdata/audio/synthetic.wav", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	rate := src.Format().Rate
	samples := make([]float32, seconds*rate)
	for n := 0; n < len(samples); {
		k, err := src.Read(samples[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	pcm := make([]int16, len(samples))
	encode.ToInt16(pcm, samples)
	f, err := os.Create(filepath.Join(t.TempDir(), "call.wav"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(encode.WriteWAV(f, rate, pcm), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// start runs a process until the end of the test, or of ctx. Its output is logged if the test fails.
func (w *world) start(ctx context.Context, cmd *exec.Cmd) *testkit.Log {
	w.t.Helper()
	var log testkit.Log
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	w.t.Cleanup(func() {
		_ = cmd.Cancel() // the process may have ended already
		if err := <-done; err != nil && ctx.Err() == nil {
			w.t.Errorf("%s: %v", filepath.Base(cmd.Args[4]), err)
		}
		if w.t.Failed() {
			w.t.Logf("%s:\n%s", filepath.Base(cmd.Args[4]), log.String())
		}
	})
	return &log
}

// relay runs a TURN server on the router.
func (w *world) relay(ctx context.Context, options []string) {
	w.t.Helper()
	dir := w.t.TempDir()
	w.start(
		ctx,
		w.command(context.Background(), w.router, append([]string{"turnserver", "-n", "--log-file=stdout", "--no-cli", "--no-tls", "--no-dtls",
			"--realm=example.com", "--listening-ip=" + nearSidecar4, "--relay-ip=" + nearSidecar4, "--min-port=50000", "--max-port=50100",
			"--pidfile=" + filepath.Join(dir, "pid"), "--userdb=" + filepath.Join(dir, "db")}, options...)...),
	)
	until(ctx, w.t, "coturn listens", func() bool {
		c, err := dial(w.sender)(ctx, "tcp", nearSidecar4+":3478")
		return err == nil && c.Close() == nil
	})
}

// until waits until is returns true.
func until(ctx context.Context, t *testing.T, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-ctx.Done():
			t.Fatalf("not reached in time: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// serving is a running sidecar.
type serving struct {
	t      *testing.T
	base   string // URL, as the sender reaches it
	client *http.Client
}

func (w *world) serve(ctx context.Context, bin string, p place) *serving {
	w.t.Helper()
	dir := w.t.TempDir()
	file := filepath.Join(dir, "callscreen.yaml")
	text := fmt.Sprintf(
		"listen: ':8080'\ndata_dir: %s\nspool: {min_free_mb: 1}\nwebrtc:\n  udp_port: %d\n  tcp_port: %d\n  %s\n",
		filepath.Join(dir, "data"),
		port,
		port,
		p.settings,
	)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cmd := w.command(context.Background(), w.sidecar, bin, "serve", "--simulate", "--verbose", "--config", file)
	cmd.Env = append(bare(), "CALLSCREEN_ADMIN_TOKEN="+token)
	if p.secret != "" {
		cmd.Env = append(cmd.Env, "CALLSCREEN_TURN_SECRET="+p.secret)
	}
	log := w.start(ctx, cmd)
	until(ctx, w.t, "callscreen serves", func() bool {
		return strings.Contains(log.String(), "msg=serving") || strings.Contains(log.String(), "hint:")
	})
	host := p.host
	if host == "" {
		host = sidecar4
	}
	transport := &http.Transport{DialContext: dial(w.sender)}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &serving{t: w.t, base: "http://" + net.JoinHostPort(host, "8080"), client: &http.Client{Transport: transport}}
}

// bare returns the environment without the variables that configure the program.
func bare() (env []string) {
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CALLSCREEN_") && !strings.HasPrefix(kv, "DATASPIKE_") {
			env = append(env, kv)
		}
	}
	return env
}

var said = regexp.MustCompile(`connected 1, sent (\d+) packets`)

// publish publishes the call and returns its number of packets.
func (w *world) publish(ctx context.Context, bin, recording, to string) int {
	w.t.Helper()
	cmd := w.command(ctx, w.sender, bin, "publish", recording, "--to", to)
	cmd.Env = append(bare(), "CALLSCREEN_INGEST_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	m := said.FindSubmatch(out)
	if err != nil || m == nil {
		w.t.Fatalf("publish: %v: %s", err, out)
	}
	sent, err := strconv.Atoi(string(m[1]))
	if err != nil || sent != packets {
		w.t.Errorf("publish: %s, want %d packets", out, packets)
	}
	return sent
}

func (s *serving) get(ctx context.Context, path string) []byte {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.client.Do(r)
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

// judge checks that the call is flagged and has the full duration, and that each packet was received or counted as lost.
func (s *serving) judge(ctx context.Context, sent int, loses bool) {
	s.t.Helper()
	s.get(ctx, "/api/v1/calls/call/decision?wait=60s")
	var call struct {
		Decision string  `json:"decision"`
		Final    bool    `json:"final"`
		Duration float64 `json:"duration_seconds"`
		Lost     float64 `json:"lost_seconds"`
	}
	text := s.get(ctx, "/api/v1/calls/call")
	if err := json.Unmarshal(text, &call); err != nil {
		s.t.Fatal(err)
	}
	if call.Decision != "flagged" || !call.Final || call.Duration < seconds-0.2 || call.Duration > seconds+0.05 {
		s.t.Errorf("%s", text)
	}
	metrics := string(s.get(ctx, "/metrics"))
	received, lost := metric(s.t, metrics, "callscreen_packets_received_total"), metric(s.t, metrics, "callscreen_packets_lost_total")
	s.t.Logf(
		"sent %d packets, received %d, lost %d; %.2f s of %d recorded, %.2f s lost",
		sent,
		received,
		lost,
		call.Duration,
		seconds,
		call.Lost,
	)
	switch {
	case !loses && (received != sent || lost != 0 || call.Lost != 0):
		s.t.Errorf("sent %d packets, received %d, lost %d", sent, received, lost)
	case loses && received+lost < sent-5: // losses at the start or the end are not detectable
		s.t.Errorf("sent %d packets, received %d, lost %d", sent, received, lost)
	}
}

func metric(t *testing.T, text, name string) int {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("there is no %s in\n%s", name, text)
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}
