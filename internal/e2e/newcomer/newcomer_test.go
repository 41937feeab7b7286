package newcomer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"callscreen/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Commands of the README. serve runs until it is stopped.
const (
	build = "make build"
	serve = "bin/callscreen serve --simulate"
	play  = "bin/callscreen publish testdata/audio/synthetic.wav --to http://127.0.0.1:8080/whip/call-1/caller"
	path  = "make module PATH=example.com/you/callscreen"
	ask   = "curl 'http://127.0.0.1:8080/api/v1/calls/call-1/decision?wait=30s'"
)

// newcomer works in a clone of the repository.
type newcomer struct {
	t    *testing.T
	ctx  context.Context
	dir  string
	addr string
}

func TestNewcomer(t *testing.T) {
	if os.Getenv("CALLSCREEN_NEWCOMER") == "" {
		t.Skip("set CALLSCREEN_NEWCOMER=1, or make newcomer")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	n := &newcomer{t: t, ctx: ctx, dir: filepath.Join(t.TempDir(), "callscreen"), addr: freeAddr(t)}
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "git", "clone", "--quiet", root, n.dir).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v\n%s", err, out)
	}
	readme, err := os.ReadFile(filepath.Join(n.dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{build, serve, play, ask, path} {
		if !strings.Contains(string(readme), command) {
			t.Errorf("the README has no command %q", command)
		}
	}
	n.run(build)
	stop := n.start(serve)
	n.run(play)
	if answer := n.get("/api/v1/calls/call-1/decision?wait=30s"); !strings.Contains(answer, `"decision":"flagged"`) {
		t.Errorf("the decision is %s", answer)
	}
	if page := n.get("/"); !strings.Contains(page, "call-1") || !strings.Contains(strings.ToLower(page), "flagged") {
		t.Errorf("the page does not show the call as flagged:\n%s", page)
	}
	stop()
	n.run("go test ./policy ./analyzer/...")
	n.run(path)
	n.run("go test ./internal ./policy ./docs/examples/library/... -run 'TheTrunk|OnlyTheProgram|Fixtures|Threshold'")
}

// command returns a command of the README, on free ports.
func (n *newcomer) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(n.ctx, "sh", "-c", "exec "+strings.ReplaceAll(line, "127.0.0.1:8080", n.addr))
	cmd.Dir = n.dir
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "CALLSCREEN_") && !strings.HasPrefix(kv, "DATASPIKE_") && !strings.HasPrefix(kv, "MAKE") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, "CALLSCREEN_LISTEN="+n.addr, "CALLSCREEN_WEBRTC_UDP_PORT=0", "CALLSCREEN_WEBRTC_TCP_PORT=0")
	return cmd
}

func (n *newcomer) run(line string) {
	n.t.Helper()
	began := time.Now()
	if out, err := n.command(line).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", line, err, out)
	}
	n.t.Logf("%s: %v", line, time.Since(began).Round(time.Second))
}

// start starts a command that keeps running, and waits until it answers.
func (n *newcomer) start(line string) (stop func()) {
	n.t.Helper()
	cmd := n.command(line)
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			n.t.Errorf("%s: %v\n%s", line, err, &log)
		}
	}
	n.t.Cleanup(stop)
	for {
		if _, err := n.fetch("/readyz"); err == nil {
			return stop
		}
		select {
		case err := <-ended:
			stopped = true
			n.t.Fatalf("%s: %v\n%s", line, err, &log)
		case <-n.ctx.Done():
			n.t.Fatalf("%s does not answer", line)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (n *newcomer) get(path string) string {
	n.t.Helper()
	text, err := n.fetch(path)
	if err != nil {
		n.t.Fatal(err)
	}
	return text
}

func (n *newcomer) fetch(path string) (string, error) {
	r, err := http.NewRequestWithContext(n.ctx, http.MethodGet, "http://"+n.addr+path, nil)
	if err != nil {
		return "", err
	}
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, resp.Status, data)
	}
	return string(data), err
}

func freeAddr(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
}
