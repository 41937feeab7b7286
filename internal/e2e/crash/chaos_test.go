package crash_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callscreen/analyzer/simulator"
	"callscreen/internal/store/storetest"
)

// chaosTime returns the duration of the faults: 40 s in make crash, or CALLSCREEN_CHAOS.
func chaosTime(t *testing.T) time.Duration {
	t.Helper()
	if d, err := time.ParseDuration(os.Getenv("CALLSCREEN_CHAOS")); err == nil && d > 0 {
		return d
	}
	long(t)
	return 40 * time.Second
}

// seed returns the seed of a random schedule: CALLSCREEN_SEED, or a random one.
func seed(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(os.Getenv("CALLSCREEN_SEED"), 10, 64)
	if err != nil {
		n = rand.Uint64N(1_000_000)
	}
	t.Logf("CALLSCREEN_SEED=%d repeats the faults", n)
	return n
}

// chaosBinary is the program with a clock that a test can set. Releases do not have it.
var chaosBinary = sync.OnceValues(func() (string, error) { return build("-tags", "crashtest") })

// step is a fault of a schedule. Its part is what it takes: a part that is taken has no second fault at the same time.
type step struct {
	at, length time.Duration
	what, part string
	node       int
	by         time.Duration // of the clock
}

func (s step) String() string {
	text := fmt.Sprintf("%5.1f s  %s", s.at.Seconds(), s.what)
	if s.node >= 0 {
		text += fmt.Sprintf(" node %d", s.node)
	}
	if s.what == "clock" {
		return text + fmt.Sprintf(" by %v", s.by)
	}
	return text + fmt.Sprintf(" for %.1f s", s.length.Seconds())
}

// schedule returns random faults for a number of nodes. It depends on the seed alone.
func schedule(seed uint64, nodes int, lasts time.Duration) (steps []step) {
	random := rand.New(rand.NewPCG(seed, 0))
	between := func(a, b float64) time.Duration {
		return time.Duration((a + random.Float64()*(b-a)) * float64(time.Second))
	}
	apis := append(slices.Sorted(maps.Keys(apiFaults())), "refuses")
	// Each schedule has a node that is frozen until another one has taken over.
	first := step{at: 7 * time.Second, length: between(34, 40), what: stop, node: random.IntN(nodes)}
	first.part = fmt.Sprint("process ", first.node)
	steps = append(steps, first)
	busy := map[string]time.Duration{first.part: first.at + first.length + time.Second}
	for at := 4 * time.Second; at < lasts; at += between(1, 3) {
		node := random.IntN(nodes)
		s := step{at: at, node: node}
		rare := random.IntN(5) == 0 // longer than the time to a take-over
		switch random.IntN(12) {
		case 0, 1, 2:
			s.what, s.part, s.length = "kill", fmt.Sprint("process ", node), between(0.1, 4)
		case 3, 4:
			s.what, s.part, s.length = stop, fmt.Sprint("process ", node), between(1, 8)
		case 5, 6:
			s.what, s.part, s.length = drop, fmt.Sprint("database ", node), between(5, 25) // until TCP ends them
		case 7:
			s.what, s.part, s.length = freeze, fmt.Sprint("database ", node), between(3, 10)
		case 8:
			days := []time.Duration{-24 * time.Hour, -time.Hour, time.Hour, 24 * time.Hour, 0}
			s.what, s.part, s.by = "clock", fmt.Sprint("clock ", node), days[random.IntN(len(days))]
		case 9:
			s.what, s.part, s.length = "no audio at", fmt.Sprint("audio ", node), between(3, 10)
		default:
			s.what, s.part, s.length, s.node = "API "+apis[random.IntN(len(apis))], "API", between(3, 10), -1
		}
		if rare && (s.what == "kill" || s.what == stop || s.what == freeze) {
			s.length = between(22, 40)
		}
		if busy[s.part] > at {
			continue
		}
		busy[s.part] = at + s.length + time.Second
		steps = append(steps, s)
	}
	return steps
}

// A failing seed is of use only if it gives the same faults again.
func TestTheScheduleDependsOnTheSeedAlone(t *testing.T) {
	t.Parallel()
	a, b, c := schedule(7, 3, time.Minute), schedule(7, 3, time.Minute), schedule(8, 3, time.Minute)
	if !slices.Equal(a, b) || slices.Equal(a, c) || len(a) < 10 {
		t.Errorf("%v\n%v\n%v", a, b, c)
	}
}

// Two and three nodes get random faults: kills, frozen processes and database connections, clocks that are set, an API that
// misbehaves, audio that is away. Nothing that was promised is lost, and no call and no segment has two owners.
func TestChaos(t *testing.T) {
	t.Parallel()
	lasts := chaosTime(t)
	for _, nodes := range []int{2, 3} {
		t.Run(fmt.Sprint(nodes, " nodes"), func(t *testing.T) {
			t.Parallel()
			c := newChaos(t, nodes)
			number := seed(t)
			steps := schedule(number, nodes, lasts)
			for _, s := range steps {
				t.Log(s)
			}
			c.run(steps)
			took := c.w.drain(3*time.Minute, c.nodes...)
			v := c.w.judge(c.nodes[0])
			v.drained = took
			takeOvers := c.judgeOwners()
			twice := c.judgeDeliveries()
			c.w.report(
				"| %d nodes, %d random faults in %v, seed %d | %v, %d wait for a person, %d take-overs, %d webhooks sent twice |",
				nodes, len(steps), lasts, number, v, v.held, takeOvers, twice,
			)
		})
	}
}

// chaos is a world of several nodes, each with a way of its own to the database and to the audio.
type chaos struct {
	t       *testing.T
	w       *world
	nodes   []*node
	callers []*callers
	proxies []*storetest.Proxy
	points  []string // where the nodes see the audio
	clocks  []string
	shared  string
	aside   int // folders that were put in place of the audio
	running sync.WaitGroup
	down    []atomic.Bool // killed, and not up again

	mu   sync.Mutex
	away []period // of nodes
}

// period is the time in which a node could not work, or may have lost the end of its work.
type period struct {
	node     int
	what     string    // of the step
	from, to time.Time // to is zero while it lasts
}

const (
	stop = "stop"
	// drop makes the connections of before useless. New ones pass, so the node can renew its lease.
	drop = "freeze connections of"
	// freeze makes new ones useless too.
	freeze = "freeze database of"
)

func newChaos(t *testing.T, nodes int) *chaos {
	t.Helper()
	bin, err := chaosBinary()
	if err != nil {
		t.Fatal(err)
	}
	url := storetest.StartPostgres(t).Database()
	c := &chaos{
		t:      t,
		w:      newWorld(t, url, simulator.Script{Latency: 700 * time.Millisecond}),
		shared: filepath.Join(t.TempDir(), "audio"),
		down:   make([]atomic.Bool, nodes),
	}
	c.w.bin = bin
	if err := os.Mkdir(c.shared, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range nodes {
		dir := t.TempDir()
		point, clock := filepath.Join(dir, "audio"), filepath.Join(dir, "clock")
		if err := os.Symlink(c.shared, point); err != nil {
			t.Fatal(err)
		}
		proxy, through := storetest.NewProxy(t, url, "127.0.0.1:0", "")
		n := c.w.node(filepath.Join(dir, "data"), "CALLSCREEN_CRASHTEST_CLOCK="+clock)
		n.url, n.name, n.more = through, fmt.Sprint("/n", i), fmt.Sprintf("audio: %q", point)
		c.nodes, c.proxies, c.points, c.clocks = append(c.nodes, n), append(c.proxies, proxy), append(c.points, point), append(c.clocks, clock)
		n.start()
	}
	for i, n := range c.nodes {
		c.callers = append(c.callers, c.w.publishersOf(uint64(i+1), fmt.Sprint("call-", i), 2, func() string { return n.addr }))
	}
	return c
}

// run makes the faults of a schedule, ends them, and waits until all nodes work.
func (c *chaos) run(steps []step) {
	type turn struct {
		at time.Duration
		do func()
	}
	var turns []turn
	for _, s := range steps {
		undo := func() {}
		turns = append(turns, turn{s.at, func() { undo = c.begin(s) }}, turn{s.at + s.length, func() { undo() }})
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return cmp.Compare(a.at, b.at) })
	start := time.Now()
	for _, turn := range turns {
		time.Sleep(turn.at - time.Since(start))
		turn.do()
	}
	c.running.Wait()
	time.Sleep(2 * time.Second)
	for _, p := range c.callers {
		p.cut()
		p.stop()
	}
}

// begin makes a fault and returns its end.
func (c *chaos) begin(s step) (end func()) {
	t := c.t
	if strings.HasPrefix(s.part, "process") && c.down[s.node].Load() {
		t.Logf("%5.1f s  left out: node %d is not up yet", s.at.Seconds(), s.node)
		return func() {}
	}
	switch s.what {
	case "kill":
		c.down[s.node].Store(true)
		back := c.begins(s)
		c.nodes[s.node].kill()
		c.callers[s.node].cut()
		return func() { c.running.Go(func() { c.revive(s.node); back() }) }
	case stop:
		back := c.begins(s)
		c.nodes[s.node].signal(syscall.SIGSTOP)
		return func() { c.nodes[s.node].signal(syscall.SIGCONT); back() }
	case drop:
		back := c.begins(s)
		c.proxies[s.node].Freeze(false)
		return func() { c.proxies[s.node].Drop(); back() }
	case freeze:
		back := c.begins(s)
		c.proxies[s.node].Freeze(true)
		return func() { c.proxies[s.node].Thaw(); c.proxies[s.node].Drop(); back() }
	case "clock":
		if err := os.WriteFile(c.clocks[s.node]+".new", []byte(s.by.String()), 0o600); err != nil {
			t.Error(err)
		}
		if err := os.Rename(c.clocks[s.node]+".new", c.clocks[s.node]); err != nil {
			t.Error(err)
		}
		return func() {}
	case "no audio at":
		c.replaceAudio(s.node, func(point string) error { return os.Mkdir(point, 0o700) })
		return func() { c.replaceAudio(s.node, func(point string) error { return os.Symlink(c.shared, point) }) }
	case "API refuses":
		c.w.api.stop()
		return func() { c.w.api.start(c.w.api.addr) }
	}
	answer := apiFaults()[strings.TrimPrefix(s.what, "API ")].answer(c.w)
	c.w.fault.Store(&answer)
	return func() {
		c.w.fault.Store(nil)
		c.w.api.stop() // requests that hang end as those of a gateway that is restarted
		c.w.api.start(c.w.api.addr)
	}
}

// replaceAudio puts something else where a node sees the audio.
func (c *chaos) replaceAudio(node int, put func(point string) error) {
	c.aside++
	point := c.points[node]
	if err := os.Rename(point, fmt.Sprint(point, "-", c.aside)); err != nil {
		c.t.Error(err)
	}
	if err := put(point); err != nil {
		c.t.Error(err)
	}
}

// begins notes that a node is disturbed, until the returned function is called.
func (c *chaos) begins(s step) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.away)
	c.away = append(c.away, period{node: s.node, what: s.what, from: time.Now()})
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.away[i].to = time.Now()
	}
}

// revive starts a node again and again until it responds, as a supervisor does.
func (c *chaos) revive(node int) {
	n := c.nodes[node]
	for start := time.Now(); time.Since(start) < 2*time.Minute; {
		if err := n.launch(); err != nil {
			c.t.Error(err)
			return
		}
		for running := true; running; {
			if n.up() {
				c.down[node].Store(false)
				return
			}
			select {
			case <-n.gone: // the database did not answer, for example
				running = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		n.kill()
	}
	c.t.Errorf("node %d does not start: %s", node, n.tail())
}
