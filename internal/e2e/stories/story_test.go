package stories_test

import (
	"errors"
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
		p.next = now.Add(p.packet)
		tone := !now.Before(p.tone[0]) && now.Before(p.tone[1])
		pcm := voices()[p.codec.rate].at(nil, p.place, p.packet, tone)
		if p.mute && !tone {
			clear(pcm)
		}
		st.send(p.stream, pcm, tone)
	}
	p.place += step
	if p.session != nil && p.lost.IsZero() {
		st.deliver(p.stream, p.session, p.track)
	}
	for _, o := range p.old {
		if now.Before(o.until) && !o.session.ended() {
			st.send(o.stream, voices()[o.stream.enc.rate].at(nil, p.place, step, false), false)
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

// leave lets a party leave, and come back after a while.
func (st *story) leave(p *party, how intake.Departure, away time.Duration) {
	if p.session == nil || !p.lost.IsZero() {
		return
	}
	p.back = time.Now().Add(away)
	if how == intake.Lost {
		p.how = how
		p.lost = time.Now().Add(time.Duration(2000+st.rng.IntN(8000)) * time.Millisecond)
		p.back = p.lost.Add(away)
		st.note("%s: connection breaks", p.leg)
		return
	}
	st.note("%s: leaves (%v), back in %v", p.leg, how, away)
	p.session.leave(how)
	p.session = nil
}

// speaker is a party that is in the call and sends.
func (p *party) sends() bool {
	return p.session != nil && !p.session.ended() && p.lost.IsZero() && !p.announced
}

// happen is one of the things that happen in a call.
func (st *story) happen(p *party) {
	rng := st.rng
	away := time.Duration(rng.IntN(6000)) * time.Millisecond
	if st.plain {
		switch rng.IntN(5) {
		case 4: // back before the call has ended
			st.leave(p, intake.HungUp, time.Duration(rng.IntN(1500))*time.Millisecond)
		case 0:
			st.pause(p, time.Duration(rng.IntN(1500))*time.Millisecond)
		case 1:
			st.change(p)
		case 2:
			if p.sends() {
				p.session.report(p.stream)
			}
		case 3: // the same sender again, at once
			if p.sends() {
				st.join(p)
				st.note("%s: takes over", p.leg)
			}
		}
		return
	}
	switch rng.IntN(22) {
	case 0:
		st.leave(p, intake.HungUp, away)
	case 1:
		st.leave(p, intake.Closed, away)
	case 2:
		st.leave(p, intake.Lost, away-3*time.Second)
	case 3, 4: // the same sender from another session, while the old one sends on
		if p.sends() {
			p.old = append(p.old, &second{p.stream, p.session, p.track, time.Now().Add(away)})
			st.note("%s: second session", p.leg)
			st.join(p)
		}
	case 5: // another sender
		if n := st.nodes[0]; n != nil {
			_, err := st.enter(n, p.leg, intake.Sender{Name: "stranger"}, nil)
			var refused *intake.Refusal
			st.note("%s: another sender: %v", p.leg, err)
			if err != nil && !errors.As(err, &refused) {
				st.fatal("%v", err)
			}
			if err == nil { // the leg was free
				s := st.sessions[len(st.sessions)-1]
				s.leave(intake.HungUp)
			}
		}
	case 6, 7:
		st.change(p)
	case 8:
		if p.sends() {
			off := rng.Uint32()
			f := []func(uint32) uint32{
				func(ts uint32) uint32 { return ts + off },
				func(uint32) uint32 { return off },
				func(ts uint32) uint32 { return ts / 2 },
				func(ts uint32) uint32 { return ts * 2 },
				func(ts uint32) uint32 { return ts + uint32(rng.IntN(50)) },
				func(uint32) uint32 { return rng.Uint32() },
			}
			i := rng.IntN(len(f))
			p.stream.faulty = f[i]
			st.note("%s: clock fault %d", p.leg, i)
		}
	case 9, 10:
		st.pause(p, time.Duration(rng.IntN(9000))*time.Millisecond)
	case 11: // a second track of the session, or one that takes turns with the first
		if p.sends() {
			c := codecs[rng.IntN(len(codecs))]
			o := &second{st.stream(c), p.session, p.session.record(c), time.Now().Add(away)}
			if rng.IntN(2) == 0 {
				p.old = append(p.old, &second{p.stream, p.session, p.track, o.until})
				p.stream, p.track, p.codec = o.stream, o.track, c
				o.until = time.Time{}
			}
			p.old = append(p.old, o)
			st.note("%s: second track %s", p.leg, c.name)
		}
	case 12:
		st.shelf.away.Store(!st.shelf.away.Load())
		st.note("audio store away: %v", st.shelf.away.Load())
	case 13:
		i := rng.IntN(2)
		if st.nodes[i] == nil {
			return
		}
		if rng.IntN(3) == 0 {
			st.note("%s shuts down", st.nodes[i].name)
			st.shutDown(i)
		} else {
			st.note("%s is killed", st.nodes[i].name)
			st.kill(i)
			if rng.IntN(3) == 0 {
				st.loseEntry(fmt.Sprintf("n%d", i+1))
			}
		}
		if rng.IntN(4) > 0 {
			st.nodes[i] = st.start(fmt.Sprintf("n%d", i+1))
		}
	case 14: // all hang up, or are cut off, and the id is used again
		how := []intake.Departure{intake.HungUp, intake.HungUp, intake.Lost}[rng.IntN(3)]
		gap := []time.Duration{away, 3 * time.Second, 2 * time.Minute, 20 * time.Minute, 24 * time.Hour}[rng.IntN(5)]
		for _, p := range st.parties {
			st.leave(p, how, gap)
		}
		st.pass(11 * time.Second)
		if gap > time.Minute {
			for _, s := range st.sessions {
				s.leave(how)
			}
			st.shelf.away.Store(false) // or it would be tried again twice a second
			time.Sleep(gap)
			for _, p := range st.parties {
				p.tone[0], p.tone[1] = p.tone[0].Add(gap), p.tone[1].Add(gap)
			}
		}
		st.until = time.Now().Add(time.Duration(6+rng.IntN(10)) * time.Second)
	case 15:
		p.mute = !p.mute
		st.note("%s: mute %v", p.leg, p.mute)
	case 16:
		if p.sends() {
			p.session.report(p.stream)
		}
	case 17:
		st.analyse(0.5)
	case 18: // garbage
		if p.sends() {
			for range 1 + rng.IntN(30) {
				b := make([]byte, 12+rng.IntN(200))
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
				b[0] = 0x80
				p.track.packets <- b
			}
			st.note("%s: garbage", p.leg)
		}
	case 20: // a codec that was not negotiated, for a while
		if p.sends() {
			was := *p.stream.enc
			p.stream.enc.codec.pt = 97
			st.note("%s: foreign payload type for %v", p.leg, away)
			stream := p.stream
			for end := time.Now().Add(away); time.Now().Before(end) && p.stream == stream; time.Sleep(step) {
				for _, p := range st.parties {
					st.act(p)
				}
			}
			*stream.enc = was
		}
	case 21: // packets of another length
		p.packet = time.Duration([]int{10, 20, 30, 60, 100}[rng.IntN(5)]) * time.Millisecond
		st.note("%s: packets of %v", p.leg, p.packet)
	case 19: // a blackout of the network
		if p.sends() {
			was := st.loss
			st.loss = 1
			for end := time.Now().Add(away / 4); time.Now().Before(end); time.Sleep(step) {
				st.act(p)
			}
			st.loss = was
			st.note("%s: blackout of %v", p.leg, away/4)
		}
	}
}

// change lets a party go on with another codec, SSRC or sequence.
func (st *story) change(p *party) {
	if !p.sends() {
		return
	}
	rng := st.rng
	switch rng.IntN(3) {
	case 0:
		p.stream.ssrc, p.stream.seq, p.stream.ts, p.stream.count = rng.Uint32(), uint16(rng.Uint32()), rng.Uint32(), 0
		st.note("%s: another SSRC", p.leg)
	case 1:
		p.codec = codecs[rng.IntN(len(codecs))]
		p.stream.enc = newEncoder(p.codec)
		st.note("%s: %s under the same SSRC", p.leg, p.codec.name)
	case 2:
		p.codec = codecs[rng.IntN(len(codecs))]
		queue := p.stream.queue
		p.stream = st.stream(p.codec)
		p.stream.queue = queue
		st.note("%s: %s with another SSRC", p.leg, p.codec.name)
	}
}

// pause pauses the leg of a party for a while.
func (st *story) pause(p *party, d time.Duration) {
	if !p.sends() {
		return
	}
	key := legKey{p.session.key, p.leg}
	c := p.session.node.live.Call(st.call)
	if st.paused[key] || c == nil || c.Begun().PartKey != key.part {
		return
	}
	st.note("%s: paused for %v", p.leg, d)
	c.Recorder().Pause(p.leg, "agent")
	st.paused[key], st.since[key] = true, time.Now()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(step) {
		for _, p := range st.parties {
			st.act(p)
		}
	}
	c.Recorder().Resume(p.leg, "agent")
	st.paused[key] = false
	st.pausedBy[key] += time.Since(st.since[key])
}

// end lets all hang up, and waits until all that can be known is known.
func (st *story) end() {
	for _, p := range st.parties {
		if p.session != nil {
			how := intake.HungUp
			if !p.lost.IsZero() {
				how = intake.Lost
				st.broken[p.leg] = st.broken[p.leg] || !p.session.ended() && !p.announced
			}
			p.session.leave(how)
		}
	}
	for _, s := range st.sessions {
		s.leave(intake.HungUp)
	}
	st.note("the end")
	st.shelf.away.Store(false)
	time.Sleep(2 * time.Minute)
	for i, n := range st.nodes {
		if n == nil && (i == 0 || st.rng.IntN(2) == 0) {
			st.nodes[i] = st.start(fmt.Sprintf("n%d", i+1))
		}
	}
	for _, n := range st.nodes {
		if n != nil {
			if err := n.carry.Drain(st.t.Context()); err != nil {
				st.fatal("%v", err)
			}
		}
	}
	st.look()
	for range 30 { // until one of the nodes is up
		st.analyse(1)
	}
	for i, n := range st.nodes {
		if n != nil {
			st.shutDown(i)
		}
	}
}

// analyse has a share of the waiting segments analysed. The stand-in hears the tone.
func (st *story) analyse(share float64) {
	n := st.nodes[st.rng.IntN(2)]
	if n == nil {
		return
	}
	segments, err := st.store.Segments(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	for _, g := range segments {
		if g.Settled() || st.rng.Float64() > share {
			continue
		}
		r := store.Settlement{State: store.SegmentFailed, Reason: "job_failed", At: time.Now()}
		if st.rng.Float64() >= st.failing {
			score := st.score(g)
			r = store.Settlement{State: store.SegmentScored, Score: &score, Verdict: "simulated", At: time.Now()}
		}
		if err := n.desk.Settle(st.t.Context(), g, r, nil); err != nil && !errors.Is(err, store.ErrSettled) {
			st.fatal("%v", err)
		}
		if r.Score != nil {
			st.note("segment %s %d of part %d at %v, %v of speech: %v", g.Leg, g.Seq, g.Part, g.Offset, g.Speech, *r.Score)
		} else {
			st.note("segment %s %d of part %d: failed", g.Leg, g.Seq, g.Part)
		}
	}
}

func (st *story) score(g store.Segment) float64 {
	o, size, err := st.shelf.Open(st.t.Context(), g.AudioKey)
	if err != nil {
		st.fatal("%v", err)
	}
	defer o.Close()
	data := make([]byte, size)
	if _, err := o.ReadAt(data, 0); err != nil {
		st.fatal("%v", err)
	}
	pcm := make([]int16, (size-44)/2)
	for i := range pcm {
		pcm[i] = int16(uint16(data[44+2*i]) | uint16(data[45+2*i])<<8)
	}
	if toneIn(pcm, g.Rate) >= 300*time.Millisecond {
		return 0.93
	}
	return 0.05
}

// verify checks the claims.
func (st *story) verify() {
	c, err := st.store.Call(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	parts, err := st.store.PartsOf(st.t.Context(), st.call)
	if err != nil {
		st.fatal("%v", err)
	}
	if c.State != store.CallEnded || !c.Final {
		st.fatal("the call is %s, final %v: %+v", c.State, c.Final, parts)
	}
	st.outcome = c
	st.sums(c, parts)
	type leg struct {
		number int
		name   string
	}
	tone, hidden, pauses := map[leg]time.Duration{}, map[leg]time.Duration{}, map[leg]time.Duration{}
	length := map[leg]time.Duration{}
	for _, p := range parts {
		for _, l := range p.Legs {
			key, to := legKey{p.PartKey, l.Leg}, leg{p.Number, l.Leg}
			tone[to] += st.arrived[key]
			hidden[to] += st.hidden[key]
			pauses[to] += st.pausedBy[key]
			length[to] += l.Duration
		}
	}
	if c.Published != "clear" {
		return
	}
	for name, broken := range st.broken {
		if broken {
			st.fatal("the connection of leg %s broke and did not come back, and the call is clear\n%s", name, c.Summary)
		}
	}
	if st.killed {
		st.fatal("a sidecar was killed while it recorded the call, and the call is clear\n%s", c.Summary)
	}
	for to, d := range tone {
		if pauses[to] > st.rules.policy.MaxPaused+time.Second {
			d += hidden[to]
		}
		if d > max(5*time.Second, length[to]/10+time.Second) {
			st.fatal("call %d: %v of the tone arrived on leg %s, and the call is clear\n%s", to.number, d, to.name, c.Summary)
		}
	}
}
