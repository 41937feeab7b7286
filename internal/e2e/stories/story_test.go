package stories_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"callscreen/capture"
	"callscreen/internal/intake"
	"callscreen/internal/store"
	"callscreen/internal/testkit"
	"callscreen/policy"
)

// story is a call of two legs, with all that can happen to it. It runs in a bubble of package synctest, on its clock.
type story struct {
	t     testing.TB
	seed  uint64
	rng   *rand.Rand
	store *store.Store
	shelf *shelf
	dir   string
	call  string
	cut   capture.SegmenterConfig
	rules rules
	vad   func(rate int) (capture.VAD, error)
	lines testkit.Log

	nodes    [2]*node
	sessions []*session
	parties  []*party
	plain    bool            // no faults
	calm     int             // steps between two events, on average
	broken   map[string]bool // legs whose connection broke, until they send again
	killed   bool            // a sidecar while it recorded the call
	failing  float64
	loss     float64
	jitter   time.Duration
	began    time.Time
	until    time.Time // all hang up
	log      []string
	outcome  store.Call
	paused   map[legKey]bool
	since    map[legKey]time.Time
	pausedBy map[legKey]time.Duration // total
	arrived  map[legKey]time.Duration // of the tone
	hidden   map[legKey]time.Duration // of the tone, in pauses
}

// rules are a policy, and the metadata that the parties of a story announce.
type rules struct {
	name     string
	policy   policy.Policy
	metadata map[string]map[string]string // by leg
	bound    map[string]bool
	other    *policy.Policy // of the second node
}

// party is a person in a call, who sends one leg.
type party struct {
	leg       string
	sender    intake.Sender
	codec     codec
	stream    *stream
	session   *session
	track     *track
	place     time.Duration // in the voice
	packet    time.Duration
	next      time.Time // of the next packet
	back      time.Time // when the party joins again, zero if it is in the call
	how       intake.Departure
	lost      time.Time // when the sidecar notices that the connection is lost
	tone      [2]time.Time
	old       []*second
	mute      bool
	announced bool // without sending
}

// second is a further stream on the leg of a party.
type second struct {
	stream  *stream
	session *session
	track   *track
	until   time.Time
}

func (st *story) note(format string, args ...any) {
	st.log = append(st.log, fmt.Sprintf("%v ", time.Since(st.began))+fmt.Sprintf(format, args...))
}

func (st *story) fatal(format string, args ...any) {
	st.t.Helper()
	st.t.Fatalf("seed %d: %s\n%s\n%s", st.seed, fmt.Sprintf(format, args...), join(st.log), st.lines.String())
}

func join(lines []string) (all string) {
	for _, l := range lines {
		all += l + "\n"
	}
	return all
}

// run plays the story.
func (st *story) run() {
	st.began = time.Now()
	rng := st.rng
	st.loss = []float64{0, 0, 0.01, 0.05}[rng.IntN(4)]
	if !st.plain && rng.IntN(4) == 0 {
		st.loss = 0.1
	}
	st.jitter = time.Duration(rng.IntN(100)) * time.Millisecond
	st.calm = []int{60, 150, 400, 1000}[rng.IntN(4)]
	if st.plain { // turns of less than three seconds on each of two nodes cannot be analysed
		st.calm = max(st.calm, 200)
	}
	if !st.plain {
		st.failing = []float64{0, 0, 0, 0.1, 1}[rng.IntN(5)]
	}
	if rng.IntN(2) == 0 {
		st.cut = capture.SegmenterConfig{
			FirstSpeech:  2 * time.Second,
			TargetSpeech: 4 * time.Second,
			MinSpeech:    1500 * time.Millisecond,
			MaxDuration:  10 * time.Second,
		}
	}
	st.nodes[0] = st.start("n1")
	if rng.IntN(3) == 0 && !st.plain {
		st.nodes[1] = st.start("n2")
	}
	length := 14*time.Second + time.Duration(rng.IntN(18000))*time.Millisecond
	names := []string{"caller", "agent"}[:1+rng.IntN(2)]
	for i, name := range names {
		p := &party{
			leg:    name,
			sender: intake.Sender{Name: "gateway"},
			codec:  codecs[rng.IntN(len(codecs))],
			place:  time.Duration(rng.IntN(20)) * time.Second,
			packet: time.Duration([]int{20, 20, 40, 60}[rng.IntN(4)]) * time.Millisecond,
			back:   time.Now().Add(time.Duration(rng.IntN(2000*i+1)) * time.Millisecond),
		}
		if st.rules.bound[name] {
			p.sender = intake.Sender{Name: name, Call: st.call, Leg: name}
		}
		st.parties = append(st.parties, p)
	}
	if !st.plain {
		from := st.began.Add(time.Duration(rng.Int64N(int64(length - 5*time.Second))))
		st.parties[0].tone = [2]time.Time{from, from.Add(6*time.Second + time.Duration(rng.IntN(6000))*time.Millisecond)}
	}
	if st.plain && len(names) == 2 && rng.IntN(4) == 0 {
		st.parties[1].mute = true // the agent only listens
	}
	st.until = st.began.Add(length)
	st.play()
	st.end()
	st.verify()
}

// step is the resolution of a story.
const step = 20 * time.Millisecond

func (st *story) play() {
	for ticks := 0; time.Now().Before(st.until); ticks++ {
		for _, p := range st.parties {
			st.act(p)
		}
		if st.rng.IntN(st.calm) == 0 {
			st.happen(st.parties[st.rng.IntN(len(st.parties))])
		}
		if ticks%250 == 0 {
			st.look()
			if st.rng.IntN(2) == 0 {
				st.analyse(0.5)
			}
		}
		time.Sleep(step)
	}
}

// pass lets time pass.
func (st *story) pass(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		for _, p := range st.parties {
			st.act(p)
		}
	}
}

// look has the nodes look after each other.
func (st *story) look() {
	for _, n := range st.nodes {
		if n != nil {
			if err := n.upkeep.LookAfter(st.t.Context()); err != nil {
				st.fatal("%v", err)
			}
		}
	}
}

// act lets a party do what is due.
func (st *story) act(p *party) {
	now := time.Now()
	if p.session != nil && p.session.ended() && p.lost.IsZero() { // its node is gone, or another session took over
		p.session = nil
		if p.back.IsZero() {
			p.back = now.Add(time.Duration(st.rng.IntN(4000)) * time.Millisecond)
		}
	}
	if !p.lost.IsZero() && !now.Before(p.lost) {
		p.lost = time.Time{}
		if p.session != nil && !p.session.ended() {
			st.note("%s: connection given up", p.leg)
			p.session.leave(p.how)
			st.broken[p.leg] = st.broken[p.leg] || !p.announced
		}
		p.session = nil
	}
	if p.session == nil && !p.back.IsZero() && !now.Before(p.back) {
		st.join(p)
	}
	if !now.Before(p.next) && p.session != nil && p.lost.IsZero() && !p.announced {
		length := p.packet
		if p.stream.enc.pt == opusType {
			length = step
		}
		p.next = now.Add(length)
		sounds := humanVoice
		switch {
		case !now.Before(p.tone[0]) && now.Before(p.tone[1]):
			sounds = syntheticVoice
		case p.mute:
			sounds = noVoice
		}
		st.send(p.stream, p.place, length, sounds)
	}
	p.place += step
	if p.session != nil && p.lost.IsZero() {
		st.deliver(p.stream, p.session, p.track)
	}
	for _, o := range p.old {
		if now.Before(o.until) && !o.session.ended() {
			st.send(o.stream, p.place, step, humanVoice)
			st.deliver(o.stream, o.session, o.track)
		}
	}
}

// join lets a party join the call on a node.
func (st *story) join(p *party) {
	n := st.nodes[st.rng.IntN(2)]
	if n == nil {
		n = st.nodes[0]
	}
	if n == nil {
		n = st.nodes[1]
	}
	if n == nil {
		p.back = time.Now().Add(time.Second)
		return
	}
	s, err := st.enter(n, p.leg, p.sender, st.rules.metadata[p.leg])
	if err != nil {
		st.note("%s: refused: %v", p.leg, err)
		p.back = time.Now().Add(time.Second)
		return
	}
	p.back, p.session, p.stream = time.Time{}, s, st.stream(p.codec)
	p.announced = !st.plain && st.rng.IntN(25) == 0
	if p.announced {
		st.note("%s: joins %s and sends nothing", p.leg, n.name)
		return
	}
	p.track = s.record(p.codec)
	st.note("%s: joins %s with %s", p.leg, n.name, p.codec.name)
}

func (st *story) enter(n *node, leg string, sender intake.Sender, metadata map[string]string) (*session, error) {
	l, err := n.intake.Accept(st.t.Context(), intake.Request{Call: st.call, Leg: leg, Metadata: metadata, Sender: sender})
	if err != nil {
		return nil, err
	}
	s := &session{st: st, node: n, leg: l, name: leg}
	s.key = n.live.Call(st.call).Begun().PartKey
	st.sessions = append(st.sessions, s)
	return s, nil
}
