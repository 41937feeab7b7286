package crash_test

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callscreen/internal/testkit"
)

// node is a sidecar that can be killed and restarted on its folder.
type node struct {
	w    *world
	dir  string
	addr string
	env  []string
	more string // of the configuration
	url  string // of the database; that of the world if it is ""
	name string // prefix of the addresses that the node sends requests to, such as /n0

	cmd    *exec.Cmd
	logged sync.WaitGroup
	gone   chan struct{} // closed at the end of the process
	mu     sync.Mutex
	log    []string // lines of level warning and above
}

func (w *world) node(dir string, env ...string) *node {
	n := &node{w: w, dir: dir, addr: fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(w.t)), env: env}
	w.t.Cleanup(func() { n.kill() })
	return n
}

// start runs the binary and waits until it responds.
func (n *node) start() {
	n.w.t.Helper()
	if err := n.launch(); err != nil {
		n.w.t.Fatal(err)
	}
	eventually(n.w.t, 60*time.Second, "start of a node", func() (bool, string) { return n.up(), n.tail() })
}

// up reports whether the node responds.
func (n *node) up() bool {
	_, err := get(n.w.t.Context(), "http://"+n.addr+"/healthz")
	return err == nil
}

// launch runs the binary.
func (n *node) launch() error {
	t := n.w.t
	t.Helper()
	cfg := fmt.Sprintf(`listen: %s
webrtc: {udp_port: 0, tcp_port: 0, grace: 1s}
data_dir: %s
database: %q
analysis: {base_url: "http://%s%s", poll_initial: 100ms, poll_max: 500ms, rate_per_second: 200, max_in_flight: 16}
segment: {first_speech: 1s, target_speech: 1s, min_speech: 500ms, max_duration: 2s}
webhooks:
  - {name: inbox, url: "http://%s%s/hook", events: [call.flagged, call.cleared, call.inconclusive], secret_files: [%q]}
%s
`, n.addr, n.dir, cmp.Or(n.url, n.w.database), n.w.api.addr, n.name, n.w.hooks.addr, n.name, n.w.secret, n.more)
	file := filepath.Join(t.TempDir(), "callscreen.yaml")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		return err
	}
	n.cmd = exec.Command(n.w.bin, "serve", "--config", file, "--log-format", "json", "--verbose")
	n.cmd.Env = append(append(os.Environ(), "DATASPIKE_API_KEY=key"), n.env...)
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	gone := make(chan struct{})
	n.gone = gone
	n.logged.Go(func() { defer close(gone); n.read(bufio.NewScanner(stderr)) })
	return nil
}

// read reads the log and records the segments that it reports as safe.
func (n *node) read(lines *bufio.Scanner) {
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l struct{ Level, Msg, Call, Segment string }
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "segment safe" {
			n.w.promise(l.Call, l.Segment)
		}
		if l.Level != "DEBUG" && l.Level != "INFO" {
			n.mu.Lock()
			n.log = append(n.log, lines.Text())
			n.mu.Unlock()
		}
	}
}

// said reports whether a log line of level warning or above contains a text.
func (n *node) said(text string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.log {
		if strings.Contains(l, text) {
			return true
		}
	}
	return false
}

// warnings returns all log lines of level warning and above.
func (n *node) warnings() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.log)
}

func (n *node) tail() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Join(n.log[max(len(n.log)-10, 0):], "\n")
}

// kill ends the process without a warning.
func (n *node) kill() { n.end(syscall.SIGKILL) }

func (n *node) end(how syscall.Signal) {
	if n.cmd == nil {
		return
	}
	_ = n.cmd.Process.Signal(how)
	n.logged.Wait() // to the last line
	_ = n.cmd.Wait()
	n.cmd = nil
}

func (n *node) signal(how syscall.Signal) {
	n.w.t.Helper()
	if err := n.cmd.Process.Signal(how); err != nil {
		n.w.t.Fatal(err)
	}
}

// health returns the body of /readyz for any status.
func (n *node) health() string {
	text, _ := get(n.w.t.Context(), "http://"+n.addr+"/readyz")
	return text
}

// nodeName returns the generated name of a node.
func nodeName(t *testing.T, n *node) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(n.dir, "node"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// temp returns a path in a temporary folder that is removed after the test, even if the test may not list its files.
func temp(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }
