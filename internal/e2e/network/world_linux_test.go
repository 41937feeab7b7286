package network_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Where things are. The sidecar's network and the sender's meet at the router only.
const (
	sidecar4, sender4     = "10.1.0.2", "10.2.0.2"
	nearSidecar4, public4 = "10.1.0.1", "203.0.113.7"
	nearSender4           = "10.2.0.1"
	sidecar6, sender6     = "fd00:1::2", "fd00:2::2"
	nearSidecar6          = "fd00:1::1"
	nearSender6           = "fd00:2::1"
	notReady6             = "fd00:1::3"
)

// world is three network namespaces in a row: the sidecar's, a router, the sender's.
type world struct {
	t                       *testing.T
	sidecar, router, sender string
}

const prefix = "callscreen-net-"

// need skips, or fails where everything must be there.
func need(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CALLSCREEN_REQUIRE_NETWORK") == "1":
		t.Fatalf("%s: %v (hint: root, and apt-get install iproute2 nftables coturn)", what, err)
	default:
		t.Skipf("%s: %v", what, err)
	}
}

func needProgram(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	need(t, name, err)
}

// newWorld makes the namespaces, with addresses of the families that are asked for, and routes through the router.
func newWorld(t *testing.T, v4, v6 bool) *world {
	t.Helper()
	needProgram(t, "ip")
	needProgram(t, "nft")
	name := prefix + strconv.Itoa(os.Getpid()) + "-" + strings.ToLower(t.Name()[strings.LastIndexByte(t.Name(), '/')+1:])
	w := &world{t: t, sidecar: name + "-sidecar", router: name + "-router", sender: name + "-sender"}
	for i, ns := range []string{w.sidecar, w.router, w.sender} {
		t.Cleanup(func() { remove(t, ns) })
		if out, err := exec.CommandContext(t.Context(), "ip", "netns", "add", ns).CombinedOutput(); i == 0 {
			if err != nil {
				err = errors.New(strings.TrimSpace(string(out)))
			}
			need(t, "network namespaces", err)
		} else if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		w.do(ns, "ip", "link", "set", "lo", "up")
	}
	w.do(w.sidecar, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "sidecar", "netns", w.router)
	w.do(w.sender, "ip", "link", "add", "eth0", "type", "veth", "peer", "name", "sender", "netns", w.router)
	for _, at := range []struct{ ns, link, addr4, addr6, via4, via6 string }{
		{w.router, "sidecar", nearSidecar4, nearSidecar6, "", ""}, {w.router, "sender", nearSender4, nearSender6, "", ""},
		{w.sidecar, "eth0", sidecar4, sidecar6, nearSidecar4, nearSidecar6}, {w.sender, "eth0", sender4, sender6, nearSender4, nearSender6},
	} {
		w.do(at.ns, "ip", "link", "set", at.link, "up")
		if v4 {
			w.do(at.ns, "ip", "addr", "add", at.addr4+"/24", "dev", at.link)
			if at.via4 != "" {
				w.do(at.ns, "ip", "route", "add", "default", "via", at.via4)
			}
		}
		if v6 {
			w.do(at.ns, "ip", "addr", "add", at.addr6+"/64", "dev", at.link, "nodad")
			if at.via6 != "" {
				w.do(at.ns, "ip", "-6", "route", "add", "default", "via", at.via6)
			}
		}
	}
	if v6 { // an address that will not be ready for minutes, which must not keep the sidecar from starting
		w.do(w.sidecar, "sh", "-c", "echo 1000 >/proc/sys/net/ipv6/conf/eth0/dad_transmits")
		w.do(w.sidecar, "ip", "addr", "add", notReady6+"/64", "dev", "eth0")
	}
	if !v6 {
		for _, ns := range []string{w.sidecar, w.sender} { // not even on loopback
			w.do(ns, "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")
		}
	}
	w.do(w.router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	return w
}

// do runs a command in a namespace.
func (w *world) do(ns string, command ...string) {
	w.t.Helper()
	if out, err := w.command(w.t.Context(), ns, command...).CombinedOutput(); err != nil {
		w.t.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// command is a process in a namespace. Its end is a SIGTERM, and a SIGKILL later.
func (w *world) command(ctx context.Context, ns string, command ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", ns}, command...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// filter gives a namespace its rules.
func (w *world) filter(ns, rules string) {
	w.t.Helper()
	if rules == "" {
		return
	}
	cmd := w.command(w.t.Context(), ns, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("nft: %v: %s", err, out)
	}
}

// dial opens a connection from within a namespace. The thread that goes there comes back.
func dial(ns string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			return nil, err
		}
		defer home.Close()
		there, err := os.Open(filepath.Join("/run/netns", ns))
		if err != nil {
			return nil, err
		}
		defer there.Close()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			return nil, err
		}
		defer func() {
			if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
				err = errors.Join(err, back) // the thread stays locked, and ends with its goroutine
				return
			}
			runtime.UnlockOSThread()
		}()
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

// remove ends what still runs in a namespace, and deletes it. It is no error if there is none.
func remove(t testing.TB, ns string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pids, err := exec.CommandContext(ctx, "ip", "netns", "pids", ns).Output()
	if err != nil {
		return
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		if n, err := strconv.Atoi(pid); err == nil && n != os.Getpid() {
			t.Logf("%s: process %d is still there", ns, n)
			_ = syscall.Kill(n, syscall.SIGKILL) // it may be gone by now
		}
	}
	if out, err := exec.CommandContext(ctx, "ip", "netns", "del", ns).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", ns, err, out)
	}
}

// sweep removes the namespaces of earlier runs that did not come to their end.
func sweep(t testing.TB) {
	entries, err := os.ReadDir("/run/netns")
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		if !ours {
			continue
		}
		pid, _, _ := strings.Cut(rest, "-")
		if _, err := os.Stat(fmt.Sprintf("/proc/%s", pid)); errors.Is(err, fs.ErrNotExist) {
			remove(t, e.Name())
		}
	}
}
