package simulation_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"callscreen/capture"
	"callscreen/internal/audio"
	"callscreen/internal/store"
	"callscreen/internal/testkit"
)

// world is all nodes, their database and audio, the analysis API and the receiver of webhooks. It runs in a bubble of package
// synctest, on its clock. The seed gives the calls and the faults. The order of goroutines that run at the same time is that
// of the scheduler.
type world struct {
	t         testing.TB
	seed      uint64
	rng       *rand.Rand
	dir       string
	audio     audio.Store
	lines     testkit.Log
	api       *service
	receiver  *receiver
	nodes     []*node // nil while a node is down
	names     []string
	interval  time.Duration // between two submissions
	resend    bool
	disturbed bool // a process was killed, stopped or frozen, or its statements failed
	backlog   bool // many segments wait while the API is away
	began     time.Time
	healed    time.Time // from here on nothing fails
	changes   atomic.Int64

	mu        sync.Mutex
	log       []string
	errs      []string
	clips     map[string]int // by part, leg and number of the segment
	synthetic map[int]bool   // by clip
	unusable  map[int]bool   // clips whose jobs fail
	promised  map[string]int // clips by segment
	callOf    map[int]*call  // by clip
	settledAt map[string]time.Time
	calls     []*call
	last      *call // after the faults
}

// call is a call that one node records.
type call struct {
	id       string
	node     int
	at       time.Time
	legs     []string
	segments int
	every    time.Duration
	key      store.PartKey
	process  *node // that records it; nil before and after
	taken    int
	next     time.Time
	over     bool
	smooth   bool // nothing happened to its node
	voice    map[string]bool
}

func newWorld(seed uint64, dir string, kept audio.Store) *world {
	w := &world{
		seed:      seed,
		rng:       rand.New(rand.NewPCG(seed, 2)),
		dir:       dir,
		audio:     kept,
		clips:     map[string]int{},
		synthetic: map[int]bool{},
		unusable:  map[int]bool{},
		promised:  map[string]int{},
		callOf:    map[int]*call{},
		settledAt: map[string]time.Time{},
	}
	w.api = newService(w)
	w.receiver = &receiver{t: w, rng: w.branch(), got: map[string][]delivery{}}
	return w
}

// branch returns a source of numbers of its own, so that the numbers of one part do not depend on the pace of another.
func (w *world) branch() *rand.Rand { return rand.New(rand.NewPCG(w.rng.Uint64(), 3)) }

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%v ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// wrong notes a broken promise.
func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.errs = append(w.errs, fmt.Sprintf("%v ", time.Since(w.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatalf("seed %d: %v\n%s", w.seed, err, strings.Join(w.log, "\n"))
	}
}

// run plays the world: calls and faults at first, then a time without faults in which all that waits is done.
func (w *world) run() {
	w.began = time.Now()
	w.plan()
	faults := w.faults()
	for i := range w.names {
		w.nodes[i] = w.start(w.names[i])
	}
	for time.Now().Before(w.healed) {
		for len(faults) > 0 && !faults[0].at.After(time.Now()) {
			w.note("%s", faults[0].name)
			faults[0].do()
			faults = faults[1:]
		}
		w.record()
		time.Sleep(step)
	}
	w.heal()
	for end := time.Now().Add(40 * time.Minute); time.Now().Before(end); time.Sleep(step) {
		w.record()
		if time.Since(w.healed)%(10*time.Second) < step && w.done() {
			break
		}
	}
	w.claims()
	for _, n := range w.nodes {
		n.end(false)
	}
}

// step is the resolution of calls and faults.
const step = 250 * time.Millisecond

// plan draws the nodes and the calls.
func (w *world) plan() {
	rng := w.rng
	w.names = []string{"n1", "n2", "n3"}[:[]int{1, 2, 2, 2, 2, 3}[rng.IntN(6)]]
	w.nodes = make([]*node, len(w.names))
	w.interval = []time.Duration{0, 200 * time.Millisecond}[rng.IntN(2)]
	w.resend = rng.IntN(4) > 0
	w.healed = w.began.Add(time.Duration(50+rng.IntN(60)) * time.Second).Truncate(step)
	for i := range 1 + rng.IntN(4) {
		w.calls = append(w.calls, &call{
			id:       fmt.Sprintf("call-%d", i),
			node:     rng.IntN(len(w.names)),
			at:       w.began.Add(time.Duration(rng.IntN(45)) * time.Second),
			legs:     []string{"caller", "agent"}[:1+rng.IntN(2)],
			segments: 1 + rng.IntN(4),
			every:    time.Duration(2+rng.IntN(6)) * time.Second,
		})
	}
	if w.backlog = rng.IntN(40) == 0; w.backlog {
		w.interval = 4 * time.Second
		w.calls = append(w.calls, &call{
			id:       "backlog",
			at:       w.began.Add(5 * time.Second),
			legs:     []string{"caller", "agent"},
			segments: 24,
			every:    step,
		})
	}
	w.last = &call{
		id:       "last",
		node:     rng.IntN(len(w.names)),
		at:       w.healed.Add(time.Second),
		legs:     []string{"caller"},
		segments: 1,
		every:    step,
	}
	w.calls = append(w.calls, w.last)
	for _, c := range w.calls {
		c.voice = map[string]bool{}
		for _, leg := range c.legs {
			c.voice[leg] = rng.IntN(3) == 0 && c.id != "backlog" || c == w.last
		}
	}
}

// record lets the calls go on whose time has come.
func (w *world) record() {
	now := time.Now()
	for _, c := range w.calls {
		n := w.nodes[c.node]
		switch {
		case c.over || now.Before(c.at) || now.Before(c.next):
		case c.process != nil && c.process != n: // its process is gone, and the parties have hung up
			c.over = true
		case c.process == nil && n == nil:
			c.at = now.Add(5 * time.Second)
		case c.process == nil:
			c.begin(n)
		case c.taken < c.segments:
			w.take(c)
		default:
			c.hangUp()
		}
	}
}

func (c *call) begin(n *node) {
	c.process, c.smooth = n, true
	c.key = store.PartKey{Call: c.id, Part: time.Now().UnixMilli(), Node: n.name}
	c.next = time.Now().Add(c.every)
	n.mu.Lock()
	n.calls[c.key] = true
	n.mu.Unlock()
	if err := n.forwarder.Progress(c.part(time.Time{})); err != nil {
		n.w.wrong("%v", err)
	}
}

// part returns the part of the call, with its progress.
func (c *call) part(ended time.Time) store.Part {
	p := store.Part{PartKey: c.key, EndedAt: ended}
	for _, leg := range c.legs {
		p.Legs = append(p.Legs, store.LegProgress{
			PartKey:  c.key,
			Leg:      leg,
			Duration: time.Duration(c.taken) * length,
			Segments: c.taken,
		})
	}
	return p
}

// length is the length of a segment, and rate its sample rate.
const (
	length = 2 * time.Second
	rate   = 8000
)

// take has the node of a call take the next segment of each leg.
func (w *world) take(c *call) {
	seq := c.taken
	c.taken++
	c.next = time.Now().Add(c.every)
	for _, leg := range c.legs {
		w.mu.Lock()
		clip := len(w.clips) + 1
		w.clips[fmt.Sprint(c.key, leg, seq)] = clip
		w.synthetic[clip] = c.voice[leg]
		w.unusable[clip] = w.rng.IntN(40) == 0 && c != w.last
		w.callOf[clip] = c
		w.mu.Unlock()
		pcm := make([]int16, rate*int(length/time.Second))
		for i := range pcm {
			pcm[i] = int16(clip)
		}
		n := int64(len(pcm))
		begin := int64(seq) * n
		seg := capture.Segment{
			Seq:    seq,
			Rate:   rate,
			Span:   capture.Span{Start: begin, End: begin + n},
			PCM:    pcm,
			Speech: n,
			Voiced: []capture.Span{{Start: begin, End: begin + n}},
		}
		if err := c.process.forwarder.Take(c.part(time.Time{}), capture.LegSegment{Leg: leg, Segment: seg}); err != nil {
			w.wrong("%v", err)
		}
	}
}

func (c *call) hangUp() {
	c.over = true
	n := c.process
	if err := n.forwarder.Progress(c.part(n.store.Now())); err != nil {
		n.w.wrong("%v", err)
	}
	// The queue of the forwarder answers for the part from here on.
	n.mu.Lock()
	delete(n.calls, c.key)
	n.mu.Unlock()
}

// promise notes a segment that is safe on the disk of its node.
func (w *world) promise(g store.SegmentRow) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.promised[g.ID] = w.clips[fmt.Sprint(g.PartKey, g.Leg, g.Seq)]
}

// nature reports whether a clip is synthetic, and whether its jobs fail.
func (w *world) nature(clip int) (synthetic, unusable bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.synthetic[clip], w.unusable[clip]
}

// settledTime returns when a segment was settled.
func (w *world) settledTime(segment string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.settledAt[segment]
}
