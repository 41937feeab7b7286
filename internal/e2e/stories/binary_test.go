package stories_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"callscreen/encode"
	"callscreen/internal/store"
	"callscreen/internal/testkit"
	"callscreen/internal/wait"
)

// sidecar is the real program on a folder of its own, and the recordings that are published to it.
type sidecar struct {
	t    *testing.T
	bin  string
	dir  string
	addr string
	cmd  *exec.Cmd
	log  *os.File
}

func newSidecar(t *testing.T, bin string) *sidecar {
	t.Helper()
	s := &sidecar{t: t, bin: bin, dir: t.TempDir(), addr: fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))}
	var err error
	if s.log, err = os.Create(filepath.Join(s.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.log.Close() })
	for name, seconds := range map[string][2]int{"human": {8, 0}, "synthetic": {3, 7}} {
		pcm := voices()[16000].at(nil, 0, time.Duration(seconds[0])*time.Second, false)
		pcm = voices()[16000].at(pcm, time.Duration(seconds[0])*time.Second, time.Duration(seconds[1])*time.Second, true)
		data, err := encode.WAV(16000, pcm)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, name+".wav"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// start starts the program and waits until it answers.
func (s *sidecar) start() {
	s.t.Helper()
	cfg := fmt.Sprintf(`listen: %s
webrtc: {udp_port: 0, tcp_port: 0, grace: 3s}
data_dir: %s
analysis: {poll_initial: 100ms, poll_max: 500ms, rate_per_second: 200}
segment: {first_speech: 3s, target_speech: 3s}
`, s.addr, filepath.Join(s.dir, "data"))
	file := filepath.Join(s.dir, "callscreen.yaml")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.cmd = exec.Command(s.bin, "serve", "--simulate", "--config", file)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; {
		r, err := http.Get("http://" + s.addr + "/healthz") //nolint:noctx // on loopback
		if err == nil {
			_ = r.Body.Close()
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("the sidecar does not start: %v\n%s", err, s.lines())
		}
		_ = wait.For(s.t.Context(), 100*time.Millisecond)
	}
}

func (s *sidecar) end(how syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(how); err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait()
}

func (s *sidecar) lines() string {
	data, _ := os.ReadFile(s.log.Name())
	return string(data[max(len(data)-8000, 0):])
}

// publish publishes a recording as a leg, for at most d, after which the publisher is killed. It reports whether all of it
// was sent.
func (s *sidecar) publish(name, call, leg string, d time.Duration, flags ...string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), d) // its end is kill -9
	defer cancel()
	to := fmt.Sprintf("http://%s/whip/%s/%s", s.addr, call, leg)
	args := append([]string{"publish", filepath.Join(s.dir, name+".wav"), "--to", to}, flags...)
	return exec.CommandContext(ctx, s.bin, args...).Run() == nil
}

// kinds are the calls of the stories. Each reports whether the call must not be clear, and whether it must be.
var kinds = []struct {
	name string
	play func(s *sidecar, call string, rng *rand.Rand) (notClear, clear bool)
}{
	{"human", func(s *sidecar, call string, _ *rand.Rand) (bool, bool) {
		return false, s.publish("human", call, "caller", time.Minute)
	}},
	{"synthetic", func(s *sidecar, call string, rng *rand.Rand) (bool, bool) {
		return s.publish("synthetic", call, "caller", time.Minute, "--loss", fmt.Sprint(rng.IntN(6)), "--jitter", "60ms"), false
	}},
	{"a killed sender comes back", func(s *sidecar, call string, rng *rand.Rand) (bool, bool) {
		s.publish("human", call, "caller", time.Duration(3000+rng.IntN(4000))*time.Millisecond)
		_ = wait.For(s.t.Context(), time.Duration(rng.IntN(2000))*time.Millisecond)
		return s.publish("synthetic", call, "caller", time.Minute), false
	}},
	{"a killed sender", func(s *sidecar, call string, rng *rand.Rand) (bool, bool) {
		s.publish("human", call, "caller", time.Duration(4000+rng.IntN(3000))*time.Millisecond)
		return true, false
	}},
	{"the same leg in another codec", func(s *sidecar, call string, rng *rand.Rand) (bool, bool) {
		s.publish("human", call, "caller", time.Minute, "--codec", []string{"pcmu", "g722"}[rng.IntN(2)])
		return s.publish("synthetic", call, "caller", time.Minute, "--codec", []string{"pcma", "g722"}[rng.IntN(2)]), false
	}},
	{"two senders at a time", func(s *sidecar, call string, rng *rand.Rand) (bool, bool) {
		var other sync.WaitGroup
		other.Go(func() { s.publish("human", call, "caller", time.Minute) })
		_ = wait.For(s.t.Context(), time.Duration(rng.IntN(4000))*time.Millisecond)
		sent := s.publish("synthetic", call, "caller", time.Minute)
		other.Wait()
		return sent, false
	}},
	{"the id is used again", func(s *sidecar, call string, _ *rand.Rand) (bool, bool) {
		sent := s.publish("synthetic", call, "caller", time.Minute)
		_ = wait.For(s.t.Context(), 2500*time.Millisecond)
		s.publish("human", call, "caller", time.Minute)
		return sent, false
	}},
	{"a caller of whom nothing arrives", func(s *sidecar, call string, _ *rand.Rand) (bool, bool) {
		var other sync.WaitGroup
		other.Go(func() { s.publish("human", call, "agent", time.Minute) })
		sent := s.publish("synthetic", call, "caller", time.Minute, "--loss", "100")
		other.Wait()
		return sent, false
	}},
}

// world plays some calls at a time on one sidecar, which is killed in some of the worlds.
func world(t *testing.T, bin string, seed uint64, calls int) {
	rng := rand.New(rand.NewPCG(seed, 3))
	s := newSidecar(t, bin)
	s.start()
	type result struct {
		call, kind      string
		notClear, clear bool
	}
	results := make([]result, calls)
	var all sync.WaitGroup
	for i := range calls {
		kind := kinds[rng.IntN(len(kinds))]
		own := rand.New(rand.NewPCG(seed, uint64(10+i)))
		all.Go(func() {
			r := result{call: fmt.Sprintf("call-%d", i), kind: kind.name}
			r.notClear, r.clear = kind.play(s, r.call, own)
			results[i] = r
		})
	}
	killed := rng.IntN(2) == 0
	if killed {
		_ = wait.For(t.Context(), time.Duration(2000+rng.IntN(9000))*time.Millisecond)
		s.end(syscall.SIGKILL)
		s.start()
	}
	all.Wait()
	s.end(syscall.SIGTERM)
	db, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(s.dir, "data")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, r := range results {
		c, err := db.Call(t.Context(), r.call)
		switch {
		case errors.Is(err, store.ErrNotFound): // its publisher was killed, or met no sidecar, before it had joined
			if r.clear && !killed {
				t.Errorf("seed %d: %s (%s) is not known", seed, r.call, r.kind)
			}
		case err != nil:
			t.Fatal(err)
		case r.notClear && c.Decision == "clear":
			t.Errorf("seed %d: %s (%s) is clear: %s\n%s", seed, r.call, r.kind, c.Summary, s.lines())
		case r.clear && !killed && c.Published != "clear":
			t.Errorf("seed %d: %s (%s) is %q: %s\n%s", seed, r.call, r.kind, c.Published, c.Summary, s.lines())
		}
	}
}

// The claims of the stories hold for the real program, whose senders and itself are killed.
func TestTheToneDoesNotPassTheBinary(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as the calls do")
	}
	bin := filepath.Join(t.TempDir(), "callscreen")
	build := exec.Command("go", "build", "-o", bin, "../../../cmd/callscreen")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	list := seeds(t, 3)
	const together = 8
	for len(list) > 0 {
		n := min(together, len(list))
		world(t, bin, list[0], n)
		list = list[n:]
	}
}
