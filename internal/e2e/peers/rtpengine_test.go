package peers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"

	"callscreen/internal/publish"
	"callscreen/internal/testkit"
)

// Two parties talk through rtpengine. callscreen subscribes to each of them, and each leg has the audio of one party only.
func TestRtpengine(t *testing.T) {
	path := mediaServer(t, "rtpengine", "rtpengine-daemon")
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	program, addr := build(t), sidecar(ctx, t)
	e := newRtpengine(ctx, t, path)
	caller, agent := newParty(t, "../../../testdata/audio/synthetic.wav"), newParty(t, source)

	offered := e.ask(
		map[string]any{"command": "offer", "call-id": "c1", "from-tag": "caller", "sdp": caller.sdp(), "replace": []string{"origin"}},
	)
	agent.to = media(t, offered["sdp"])
	answered := e.ask(
		map[string]any{
			"command":  "answer",
			"call-id":  "c1",
			"from-tag": "caller",
			"to-tag":   "agent",
			"sdp":      agent.sdp(),
			"replace":  []string{"origin"},
		},
	)
	caller.to = media(t, answered["sdp"])

	bridges := map[string]*bridge{}
	for _, leg := range []string{"caller", "agent"} {
		bridges[leg] = newBridge(ctx, t, program, "from=127.0.0.1&idle=3s", "http://"+addr+"/whip/rtpengine/"+leg)
		r := e.ask(map[string]any{"command": "subscribe request", "call-id": "c1", "from-tag": leg, "to-tag": "tap-" + leg})
		t.Logf("subscribe request for %s: %q", leg, r["sdp"])
		e.ask(
			map[string]any{
				"command":  "subscribe answer",
				"call-id":  "c1",
				"from-tag": leg,
				"to-tag":   "tap-" + leg,
				"sdp":      description(bridges[leg].port, "recvonly"),
			},
		)
	}

	speak, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 2)
	for _, p := range []*party{caller, agent} {
		go func() { done <- inRealTime(speak, p.media, p.send) }()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	e.ask(map[string]any{"command": "delete", "call-id": "c1", "from-tag": "caller"})
	t.Logf("caller: %s", bridges["caller"].ended(nil)) // by itself
	t.Logf("agent: %s", bridges["agent"].ended(syscall.SIGTERM))
	s := decided(ctx, t, addr, "rtpengine")
	t.Logf("%+v", s)
	s.verdicts(t, map[string]string{"caller": "flagged", "agent": "clear"}, caller.media.Seconds())
	if s.Decision != "flagged" {
		t.Errorf("the call is %s", s.Decision)
	}
}

// party is a telephone that only sends.
type party struct {
	conn  *net.UDPConn
	to    *net.UDPAddr
	media *publish.Media
}

func newParty(t *testing.T, file string) *party {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m, err := publish.Load(t.Context(), file, "pcma", -1)
	if err != nil {
		t.Fatal(err)
	}
	m.Packets = m.Packets[:min(len(m.Packets), 600)]
	return &party{conn: conn, media: m}
}

func (p *party) sdp() string {
	addr, _ := p.conn.LocalAddr().(*net.UDPAddr)
	return description(addr.Port, "sendrecv")
}

func (p *party) send(packet *rtp.Packet) error {
	packet.PayloadType = 8
	b, err := packet.Marshal()
	if err == nil {
		_, err = p.conn.WriteTo(b, p.to)
	}
	return err
}

// description returns the SDP of a party that receives A-law at a port.
func description(port int, direction string) string {
	return fmt.Sprintf(
		"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio %d RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=%s\r\n",
		port,
		direction,
	)
}

// media returns the address to which an SDP requests its audio.
func media(t *testing.T, text any) *net.UDPAddr {
	t.Helper()
	s, _ := text.(string)
	var d sdp.SessionDescription
	if err := d.UnmarshalString(s); err != nil || len(d.MediaDescriptions) != 1 {
		t.Fatalf("%q: %v", s, err)
	}
	return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: d.MediaDescriptions[0].MediaName.Port.Value}
}

// rtpengine is a client of the ng protocol of an rtpengine process.
type rtpengine struct {
	t      *testing.T
	conn   net.Conn
	cookie int
}

func newRtpengine(ctx context.Context, t *testing.T, path string) *rtpengine {
	t.Helper()
	port := testkit.FreePort(t)
	daemon(
		t,
		path,
		"--table=-1",
		"--foreground",
		"--log-stderr",
		"--interface=127.0.0.1",
		fmt.Sprintf("--listen-ng=127.0.0.1:%d", port),
		"--port-min=30000",
		"--port-max=30200",
		"--log-level=5",
		"--config-file=none",
	)
	conn, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	e := &rtpengine{t: t, conn: conn}
	for { // the server is up when it responds
		r, err := e.try(map[string]any{"command": "ping"})
		if err == nil && r["result"] == "pong" {
			return e
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func (e *rtpengine) ask(command map[string]any) map[string]any {
	e.t.Helper()
	r, err := e.try(command)
	if err != nil || r["result"] != "ok" {
		e.t.Fatalf("%v: %v %v", command, r, err)
	}
	return r
}

func (e *rtpengine) try(command map[string]any) (map[string]any, error) {
	e.cookie++
	cookie := fmt.Sprintf("%d ", e.cookie)
	if _, err := e.conn.Write([]byte(cookie + bencode(command))); err != nil {
		return nil, err
	}
	if err := e.conn.SetReadDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return nil, err
	}
	buf := make([]byte, 65536)
	for {
		n, err := e.conn.Read(buf)
		if err != nil {
			return nil, err
		}
		if answer, ok := bytes.CutPrefix(buf[:n], []byte(cookie)); ok {
			v, _, err := bdecode(string(answer))
			m, _ := v.(map[string]any)
			return m, err
		}
	}
}

// bencode encodes a value for the ng protocol. It supports the types that the tests need.
func bencode(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%d:%s", len(v), v)
	case []string:
		out := "l"
		for _, s := range v {
			out += bencode(s)
		}
		return out + "e"
	case map[string]any:
		out := "d"
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out += bencode(key) + bencode(v[key])
		}
		return out + "e"
	}
	panic(fmt.Sprintf("%T", v))
}

// bdecode decodes a value and returns the remaining text.
func bdecode(s string) (v any, rest string, err error) {
	switch {
	case s == "":
		return nil, "", errors.New("bencode: it ends too soon")
	case s[0] == 'i':
		number, rest, ok := strings.Cut(s[1:], "e")
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || !ok {
			return nil, "", fmt.Errorf("bencode: %q is not a number", number)
		}
		return n, rest, nil
	case s[0] == 'l' || s[0] == 'd':
		var list []any
		for rest = s[1:]; !strings.HasPrefix(rest, "e"); list = append(list, v) {
			if v, rest, err = bdecode(rest); err != nil {
				return nil, "", err
			}
		}
		if s[0] == 'l' {
			return list, rest[1:], nil
		}
		dict := map[string]any{}
		for i := 0; i+1 < len(list); i += 2 {
			dict[fmt.Sprint(list[i])] = list[i+1]
		}
		return dict, rest[1:], nil
	}
	length, rest, ok := strings.Cut(s, ":")
	n, err := strconv.Atoi(length)
	if err != nil || !ok || n < 0 || n > len(rest) {
		return nil, "", fmt.Errorf("bencode: %q is not a length", length)
	}
	return rest[:n], rest[n:], nil
}
